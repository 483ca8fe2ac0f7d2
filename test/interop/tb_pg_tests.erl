%% tb_pg_tests - process groups: pg of BEAM nodes and of tiebeam nodes is one.
%% Nothing here is newer than OTP 23, where a case does not say so.
-module(tb_pg_tests).
-include_lib("eunit/include/eunit.hrl").

-export([helper/0, scope_pid/1]).

-define(TIMEOUT, 600).

-spec pg_test_() -> tuple().
pg_test_() ->
    {setup, fun() -> tb_lib:join(pg) end, fun tb_lib:leave/1, [
        {timeout, ?TIMEOUT, {Title, Case}}
     || {Title, Case} <- tb_lib:chosen(cases())
    ]}.

cases() ->
    [
        {"members of a BEAM are known, and gone with process and node", fun theirs/0},
        {"ours are known on BEAM nodes, and gone with process and node", fun ours/0},
        {"duplicates, lists, groups of any term", fun odd/0},
        {"requests and functions of a scope", fun requests/0},
        {"monitors of a scope and of a group", fun monitors/0},
        {"a scope that starts later, and again", fun later/0},
        {"a tiebeam that crashes, hangs up, comes back", fun reconnects/0},
        {"two tiebeam nodes", fun two/0},
        {"SIGHUP: scopes come and go", fun sighup/0},
        {"what must not crash our scope", fun hostile/0},
        {"more members than anybody has", fun too_many/0},
        {"what must not crash theirs", fun gentle/0},
        {"members equal everywhere after a storm", fun storm/0}
    ].

%% ------------------------------------------------------------- the pieces

%% A process to be a member, on this node or another.
-spec helper() -> ok.
helper() ->
    receive
        stop -> ok
    end.

member() ->
    spawn(?MODULE, helper, []).

member(Node) ->
    spawn(Node, ?MODULE, helper, []).

with_scope(Scope, Fun) ->
    {ok, Pid} = pg:start(Scope),
    try
        Fun()
    after
        stop_scope(Pid)
    end.

stop_scope(Pid) ->
    Ref = monitor(process, Pid),
    exit(Pid, kill),
    receive
        {'DOWN', Ref, process, Pid, _} -> ok
    end.

%% A tiebeam with these scopes, connected to this node.
with_tiebeam(Name, Scopes, Fun) ->
    tb_lib:with_daemon(Name, config(Scopes), fun(D, N) ->
        tb_lib:until_equal(pong, fun() -> net_adm:ping(N) end),
        Fun(D, N)
    end).

config(Scopes) ->
    #{config => [{tiebeam, [{discovery, []}, {pg, [{scopes, Scopes}]}]}]}.

ask(N, Scope, Request) ->
    gen_server:call({Scope, N}, Request, 60000).

members(N, Scope, Group) ->
    lists:sort(ask(N, Scope, {get_members, Group})).

%% A process of that tiebeam, known by its name.
pid_at(N, Name) ->
    tb_lib:pid_of(N, Name).

-spec scope_pid(atom()) -> pid() | undefined.
scope_pid(Scope) ->
    whereis(Scope).

%% ------------------------------------------------------------------ cases

theirs() ->
    with_scope(s1, fun() ->
        Before = member(),
        ok = pg:join(s1, early, Before),
        with_tiebeam(t, [s1], fun(_, N) ->
            tb_lib:until_equal([Before], fun() -> members(N, s1, early) end),
            P = member(),
            ok = pg:join(s1, late, P),
            tb_lib:until_equal([P], fun() -> members(N, s1, late) end),
            ?assertEqual([], ask(N, s1, {get_local_members, late})),
            ok = pg:leave(s1, early, Before),
            tb_lib:until_equal([late], fun() -> ask(N, s1, which_groups) end),
            exit(P, kill),
            tb_lib:until_equal([], fun() -> members(N, s1, late) end),
            tb_lib:with_beam(b, #{}, fun(B, Node) ->
                true = rpc:call(Node, net_kernel, connect_node, [N]),
                {ok, _} = rpc:call(Node, pg, start, [s1]),
                Q = member(Node),
                ok = rpc:call(Node, pg, join, [s1, far, Q]),
                tb_lib:until_equal([Q], fun() -> members(N, s1, far) end),
                tb_lib:signal(B, "KILL"),
                tb_lib:until_equal([], fun() -> members(N, s1, far) end)
            end)
        end)
    end).

ours() ->
    with_scope(s2, fun() ->
        {Pid, N0} = with_tiebeam(t, [s2], fun(_, N) ->
            P = pid_at(N, rex),
            ?assertEqual(ok, ask(N, s2, {join, g, P})),
            tb_lib:until_equal([P], fun() -> pg:get_members(s2, g) end),
            ?assertEqual([], pg:get_local_members(s2, g)),
            ?assertEqual([P], ask(N, s2, {get_local_members, g})),
            ?assertEqual(ok, ask(N, s2, {leave, g, P})),
            tb_lib:until_equal([], fun() -> pg:get_members(s2, g) end),
            ?assertEqual(not_joined, ask(N, s2, {leave, g, P})),
            %% one that ends: its supervisor starts it anew, as another process
            ok = ask(N, s2, {join, g, P}),
            ok = ask(N, s2, {join, h, [P, P]}),
            tb_lib:until_equal([P, P], fun() -> pg:get_members(s2, h) end),
            exit(P, kill),
            tb_lib:until_equal([], fun() -> pg:which_groups(s2) end),
            Q = pid_at(N, rex),
            ok = ask(N, s2, {join, g, Q}),
            tb_lib:until_equal([Q], fun() -> pg:get_members(s2, g) end),
            {Q, N}
        end),
        %% and the node has gone
        tb_lib:until_equal([], fun() -> pg:get_members(s2, g) end),
        ?assertEqual(N0, node(Pid))
    end).

odd() ->
    with_scope(s3, fun() ->
        with_tiebeam(t, [s3], fun(_, N) ->
            Mine = pid_at(N, rex),
            P = member(),
            Groups = [1, 1.0, "text", <<"bin">>, {a, [b | c]}, #{k => v, 1 => 2.5}, make_ref(), self(), [], <<1:3>>, 1 bsl 90, fun lists:map/2],
            [ok = pg:join(s3, G, [P, P, self()]) || G <- Groups],
            [ok = ask(N, s3, {join, G, [Mine]}) || G <- Groups],
            Everybody = lists:sort([P, P, self(), Mine]),
            [tb_lib:until_equal(Everybody, fun() -> members(N, s3, G) end) || G <- Groups],
            [tb_lib:until_equal(Everybody, fun() -> lists:sort(pg:get_members(s3, G)) end) || G <- Groups],
            ?assertEqual(lists:sort(Groups), lists:sort(ask(N, s3, which_groups))),
            %% one leave is one time less
            [ok = pg:leave(s3, G, P) || G <- Groups],
            [tb_lib:until_equal(lists:sort([P, self(), Mine]), fun() -> members(N, s3, G) end) || G <- Groups],
            %% who was no member is in the same message as who was
            [ok = pg:leave(s3, G, [P, P, whereis(init)]) || G <- Groups],
            [ok = ask(N, s3, {leave, G, [Mine, Mine]}) || G <- Groups],
            [tb_lib:until_equal([self()], fun() -> members(N, s3, G) end) || G <- Groups],
            [tb_lib:until_equal([self()], fun() -> pg:get_members(s3, G) end) || G <- Groups],
            [ok = pg:leave(s3, G, self()) || G <- Groups],
            tb_lib:until_equal([], fun() -> ask(N, s3, which_groups) end),
            ?assertMatch(#{groups := 0, members := 0, local := 0, peers := [_]}, ask(N, s3, info))
        end)
    end).

requests() ->
    with_scope(s4, fun() ->
        with_tiebeam(t, [pg, s4], fun(_, N) ->
            P = pid_at(N, rex),
            ?assertEqual({error, {nolocal, self()}}, ask(N, s4, {join, g, self()})),
            ?assertEqual({error, {nolocal, x}}, ask(N, s4, {join, g, x})),
            ?assertEqual({error, {nolocal, x}}, ask(N, s4, {join, g, [P, x]})),
            ?assertEqual({error, {nolocal, [P | P]}}, ask(N, s4, {join, g, [P | P]})),
            ?assertEqual(ok, ask(N, s4, {join, g, []})),
            ?assertEqual([], ask(N, s4, which_groups)),
            ?assertEqual(ok, rpc:call(N, pg, join, [s4, g, P])),
            ?assertEqual([P], rpc:call(N, pg, get_members, [s4, g])),
            ?assertEqual([P], rpc:call(N, pg, get_local_members, [s4, g])),
            ?assertEqual([g], rpc:call(N, pg, which_groups, [s4])),
            ?assertEqual([g], rpc:call(N, pg, which_local_groups, [s4])),
            ?assertEqual(ok, rpc:call(N, pg, leave, [s4, g, P])),
            ?assertEqual(not_joined, rpc:call(N, pg, leave, [s4, g, P])),
            ?assertEqual([], rpc:call(N, pg, get_members, [g])),
            ?assertMatch({badrpc, {'EXIT', {{nolocal, _}, _}}}, rpc:call(N, pg, join, [s4, g, self()])),
            ?assertMatch({badrpc, {'EXIT', {noproc, _}}}, rpc:call(N, pg, which_groups, [nosuch])),
            ?assertMatch({badrpc, {'EXIT', {undef, _}}}, rpc:call(N, pg, nosuch, [s4])),
            ?assertMatch({badrpc, {'EXIT', {undef, _}}}, rpc:call(N, pg, join, [a, b, c, d]))
        end)
    end).

next() ->
    receive
        M -> M
    after 60000 -> timeout
    end.

monitors() ->
    with_scope(s5, fun() ->
        with_tiebeam(t, [s5], fun(_, N) ->
            P = member(),
            ok = pg:join(s5, g, [P, P]),
            tb_lib:until_equal([P, P], fun() -> members(N, s5, g) end),
            {All, Groups} = ask(N, s5, monitor),
            ?assertEqual(#{g => [P, P]}, Groups),
            {One, Pids} = ask(N, s5, {monitor, h}),
            ?assertEqual([], Pids),
            Q = pid_at(N, rex),
            ok = ask(N, s5, {join, h, Q}),
            ?assertEqual({All, join, h, [Q]}, next()),
            ?assertEqual({One, join, h, [Q]}, next()),
            exit(P, kill),
            ?assertEqual({All, leave, g, [P, P]}, next()),
            ?assertEqual(ok, ask(N, s5, {demonitor, All})),
            ?assertEqual(false, ask(N, s5, {demonitor, All})),
            ok = ask(N, s5, {leave, h, Q}),
            ?assertEqual({One, leave, h, [Q]}, next()),
            ?assertEqual(ok, ask(N, s5, {demonitor, One})),
            ok = ask(N, s5, {join, h, Q}),
            {Watcher, Ref} = spawn_monitor(fun() -> {_, [Q]} = ask(N, s5, {monitor, h}) end),
            receive
                {'DOWN', Ref, process, Watcher, Why} -> ?assertEqual(normal, Why)
            end,
            tb_lib:until(fun() -> maps:get(monitors, ask(N, s5, info)) =:= 0 end),
            ?assertEqual([], tb_lib:flush())
        end)
    end).

later() ->
    with_tiebeam(t, [s6], fun(_, N) ->
        Q = pid_at(N, rex),
        ok = ask(N, s6, {join, ours, Q}),
        P = member(),
        [
            with_scope(s6, fun() ->
                ok = pg:join(s6, g, P),
                tb_lib:until_equal([P], fun() -> members(N, s6, g) end),
                tb_lib:until_equal([Q], fun() -> pg:get_members(s6, ours) end)
            end)
         || _ <- [1, 2, 3]
        ],
        tb_lib:until_equal([ours], fun() -> ask(N, s6, which_groups) end)
    end).

reconnects() ->
    with_scope(s7, fun() ->
        Scope = whereis(s7),
        with_tiebeam(t, [s7], fun(_, N) ->
            P = member(),
            Q = pid_at(N, rex),
            ok = pg:join(s7, g, P),
            ok = ask(N, s7, {join, g, Q}),
            Both = lists:sort([P, Q]),
            Check = fun() ->
                tb_lib:until_equal(Both, fun() -> members(N, s7, g) end),
                tb_lib:until_equal(Both, fun() -> lists:sort(pg:get_members(s7, g)) end)
            end,
            Check(),
            [
                begin
                    true = erlang:disconnect_node(N),
                    tb_lib:until_equal([P], fun() -> pg:get_members(s7, g) end),
                    tb_lib:until_equal(pong, fun() -> net_adm:ping(N) end),
                    Check()
                end
             || _ <- lists:seq(1, 20)
            ],
            %% its scope crashes: memberships are lost, as a BEAM's are
            exit(pid_at(N, s7), kill),
            tb_lib:until_equal([P], fun() -> pg:get_members(s7, g) end),
            tb_lib:until_equal([P], fun() ->
                try
                    members(N, s7, g)
                catch
                    exit:_ -> gone
                end
            end),
            ok = ask(N, s7, {join, g, Q}),
            Check()
        end),
        ?assertEqual(Scope, whereis(s7))
    end).

two() ->
    with_scope(s8, fun() ->
        with_tiebeam(t1, [s8], fun(_, N1) ->
            with_tiebeam(t2, [s8], fun(_, N2) ->
                ok = tb_lib:call(N1, {connect, N2}),
                P = member(),
                Q1 = pid_at(N1, rex),
                Q2 = pid_at(N2, rex),
                ok = pg:join(s8, g, P),
                ok = ask(N1, s8, {join, g, Q1}),
                ok = ask(N2, s8, {join, g, Q2}),
                All = lists:sort([P, Q1, Q2]),
                [tb_lib:until_equal(All, F) || F <- [
                    fun() -> members(N1, s8, g) end,
                    fun() -> members(N2, s8, g) end,
                    fun() -> lists:sort(pg:get_members(s8, g)) end
                ]],
                true = tb_lib:call(N1, {disconnect, N2}),
                tb_lib:until_equal(lists:sort([P, Q1]), fun() -> members(N1, s8, g) end),
                tb_lib:until_equal(lists:sort([P, Q2]), fun() -> members(N2, s8, g) end),
                ok = tb_lib:call(N2, {connect, N1}),
                tb_lib:until_equal(All, fun() -> members(N1, s8, g) end),
                tb_lib:until_equal(All, fun() -> members(N2, s8, g) end)
            end)
        end)
    end).

%% All that a process of ours may be sent, and more.
sighup() ->
    with_scope(s1, fun() ->
        with_scope(s2, fun() -> with_tiebeam(t, [s1], fun reloaded/2) end)
    end).

reloaded(D, N) ->
    Reload = fun(Scopes) ->
        #{config := Config} = config(Scopes),
        tb_lib:reload(D, t, Config)
    end,
    P = member(),
    Rex = pid_at(N, rex),
    ok = pg:join(s1, g, P),
    ok = ask(N, s1, {join, g, Rex}),
    tb_lib:until(fun() -> members(N, s1, g) =:= lists:sort([P, Rex]) end),
    tb_lib:until(fun() -> lists:sort(pg:get_members(s1, g)) =:= lists:sort([P, Rex]) end),
    {Ref, #{g := [_, _]}} = ask(N, s1, monitor),
    Down = monitor(process, pid_at(N, s1)),
    %% another one in its place: who watched is told of each that was in
    Reload([s2]),
    tb_lib:until(fun() -> is_pid(pid_at(N, s2)) end),
    receive
        {'DOWN', Down, process, _, Reason} -> ?assertEqual(normal, Reason)
    after 60000 -> error(scope_stays)
    end,
    ?assertEqual(undefined, pid_at(N, s1)),
    Left = [{G, Ps} || {R, leave, G, Ps} <- tb_lib:flush(), R =:= Ref],
    ?assertEqual(lists:sort([P, Rex]), lists:sort(lists:append([Ps || {g, Ps} <- Left]))),
    tb_lib:until_equal([P], fun() -> pg:get_members(s1, g) end),
    ok = pg:join(s2, h, P),
    tb_lib:until_equal([P], fun() -> members(N, s2, h) end),
    tb_lib:wait_output(D, "key=pg.scopes.s1 ended"),
    %% a name that is taken is refused, till it is free
    {ok, _} = ask(N, tiebeam, {start_service, supervisors, s3, []}),
    Before = pid_at(N, s2),
    Reload([s1, s2, s3]),
    tb_lib:wait_output(D, "config.refused\\] key=pg.scopes.s3 "),
    tb_lib:until_equal([P], fun() -> members(N, s1, g) end),
    ok = ask(N, tiebeam, {stop_service, supervisors, s3}),
    tb_lib:until_equal(undefined, fun() -> pid_at(N, s3) end),
    Reload([s1, s2, s3]),
    tb_lib:until_equal([], fun() -> catch ask(N, s3, which_groups) end),
    ?assertEqual(Before, pid_at(N, s2)),
    %% it is started again, as those of the start are
    exit(pid_at(N, s3), kill),
    tb_lib:until_equal([], fun() -> catch ask(N, s3, which_groups) end),
    Reload([]),
    [tb_lib:until_equal(undefined, fun() -> pid_at(N, S) end) || S <- [s1, s2, s3]].

hostile() ->
    with_scope(s9, fun() ->
        with_tiebeam(t, [s9], fun(D, N) ->
            P = member(),
            ok = pg:join(s9, g, P),
            tb_lib:until_equal([P], fun() -> members(N, s9, g) end),
            Scope = pid_at(N, s9),
            Peer = whereis(s9),
            Dead = spawn(fun() -> ok end),
            Self = self(),
            Pids = [Peer, Self, Dead, Scope, P, x, 7],
            Odd = [[], x, P, [P], [P | P], [P, x], [[P]], lists:duplicate(1000, P), #{}, {P}, "text"],
            Messages =
                [{discover, X} || X <- Pids] ++ [{discover, X, V} || X <- Pids, V <- [0, 1, x]] ++
                    [discover, {discover}, {sync, Peer, []}, {join, Peer}, {leave, Peer, P}] ++
                    [{join, X, G, O} || X <- Pids, G <- [g, #{a => b}], O <- Odd] ++
                    [{leave, X, O, Gs} || X <- Pids, O <- Odd, Gs <- [[], g, [g], [g, g | g], [nosuch]]] ++
                    [{'$gen_cast', {sync, X, Gs}} || X <- Pids, Gs <- sync_lists(Odd)] ++
                    [{'$gen_cast', X} || X <- [x, {sync, Peer}, {discover, Peer}, {join, g, P}]] ++
                    [{nodeup, node(), #{}}, {nodedown, N, #{}}, {nodedown, x, #{}}, {retry, node()}, {retry, x}] ++
                    [{'DOWN', make_ref(), process, Peer, noproc}, {'EXIT', Peer, x}, {'EXIT', x, x}],
            rand:seed(exsss, {1, 2, 3}),
            [
                begin
                    [{s9, N} ! M || M <- shuffled(Messages)],
                    ?assertEqual(Scope, pid_at(N, s9)),
                    ?assertMatch(#{}, ask(N, s9, info))
                end
             || _ <- lists:seq(1, 10)
            ],
            [
                ?assertMatch({error, _}, ask(N, s9, Request))
             || Request <- [{join, g}, {get_members}, {demonitor, x}, x, {join, g, <<0:(70000 * 8)>>}]
            ],
            Big = binary:copy(<<"x">>, 70000),
            ?assertEqual({error, system_limit}, ask(N, s9, {join, Big, pid_at(N, rex)})),
            ?assertEqual({error, system_limit}, ask(N, s9, {monitor, Big})),
            %% a connection made anew makes it right again
            true = erlang:disconnect_node(N),
            tb_lib:until_equal(pong, fun() -> net_adm:ping(N) end),
            tb_lib:until_equal([P], fun() -> members(N, s9, g) end),
            tb_lib:until_equal([g], fun() -> ask(N, s9, which_groups) end),
            ?assertEqual(Scope, pid_at(N, s9)),
            ?assertEqual(Peer, whereis(s9)),
            ?assertEqual(nomatch, binary:match(tb_lib:output(D), <<"crashed">>))
        end)
    end).

%% A peer that tells of more than a million is not listened to any longer.
too_many() ->
    with_scope(s11, fun() ->
        with_tiebeam(t, [s11], fun(D, N) ->
            P = member(),
            ok = pg:join(s11, g, P),
            tb_lib:until_equal([P], fun() -> members(N, s11, g) end),
            Scope = pid_at(N, s11),
            {s11, N} ! {join, whereis(s11), h, lists:duplicate(1100000, P)},
            _ = tb_lib:wait_output(D, "pg.too_many"),
            ?assertEqual([], ask(N, s11, which_groups)),
            ok = pg:join(s11, i, P),
            ?assertEqual([], ask(N, s11, which_groups)),
            true = erlang:disconnect_node(N),
            tb_lib:until_equal(pong, fun() -> net_adm:ping(N) end),
            tb_lib:until_equal([g, i], fun() -> lists:sort(ask(N, s11, which_groups)) end),
            ?assertEqual(Scope, pid_at(N, s11))
        end)
    end).

sync_lists(Odd) ->
    [[], x, [x], [{g, x}], [{g, [self() | x]}], [{g, [self()]} | x]] ++ [[{g, O}, {h, O}] || O <- Odd] ++
        [[{g, [self()]}, {g, [self()]}], [{lists:seq(1, 1000), []}]].

shuffled(List) ->
    [X || {_, X} <- lists:sort([{rand:uniform(), X} || X <- List])].

%% A scope that takes nothing but what pg takes, and knows it by heart.
gentle() ->
    Strict = spawn_link(fun() -> strict(#{}, 0) end),
    register(s10, Strict),
    with_tiebeam(t, [s10], fun(_, N) ->
        Names = [rex, net_kernel, tiebeam, node_monitor],
        rand:seed(exsss, {4, 5, 6}),
        [gentle_step(N, Names, rand:uniform(100)) || _ <- lists:seq(1, 2000)],
        Expected = fun() ->
            lists:sort([{G, members(N, s10, G)} || G <- ask(N, s10, which_groups)])
        end,
        tb_lib:until_equal(Expected(), fun() ->
            Strict ! {report, self()},
            receive
                {members, Map} -> lists:sort([{G, lists:sort(Ps)} || {G, Ps} <- maps:to_list(Map)])
            end
        end),
        Strict ! {count, self()},
        receive
            {count, Count} -> ?assert(Count > 500)
        end
    end),
    unlink(Strict),
    exit(Strict, kill).

gentle_step(N, _, 1) ->
    true = erlang:disconnect_node(N),
    tb_lib:until_equal(pong, fun() -> net_adm:ping(N) end);
gentle_step(N, _, 2) ->
    case pid_at(N, node_monitor) of
        undefined -> ok;
        Pid -> exit(Pid, kill)
    end;
gentle_step(N, _, 3) ->
    {s10, N} ! {discover, whereis(s10)};
gentle_step(N, Names, Dice) ->
    Pids = [Pid || Name <- Names, Pid <- [pid_at(N, Name)], is_pid(Pid), rand:uniform(2) =:= 1],
    What =
        case Dice rem 2 of
            0 -> join;
            1 -> leave
        end,
    One =
        case Pids of
            [Pid] -> Pid;
            _ -> Pids
        end,
    ask(N, s10, {What, rand:uniform(5), One}).

strict(Members, Count) ->
    receive
        {discover, Pid} when is_pid(Pid) ->
            gen_server:cast(Pid, {sync, self(), []}),
            _ = [Pid ! {discover, self()} || not is_map_key({known, Pid}, Members)],
            strict(Members#{{known, Pid} => #{}}, Count);
        {'$gen_cast', {sync, Pid, Groups}} ->
            true = is_map_key({known, Pid}, Members),
            true = lists:all(fun({_, Ps}) -> Ps =/= [] andalso lists:all(fun is_pid/1, Ps) end, Groups),
            Map = maps:from_list(Groups),
            true = maps:size(Map) =:= length(Groups),
            _ = [monitor(process, Pid) || map_get({known, Pid}, Members) =:= #{}],
            strict(Members#{{known, Pid} => Map}, Count);
        {join, Pid, Group, PidOrPids} ->
            #{{known, Pid} := Map} = Members,
            New = as_list(PidOrPids) ++ maps:get(Group, Map, []),
            strict(Members#{{known, Pid} => Map#{Group => New}}, Count + 1);
        {leave, Pid, PidOrPids, Groups} ->
            #{{known, Pid} := Map} = Members,
            strict(Members#{{known, Pid} => lists:foldl(fun(G, M) -> leave(G, as_list(PidOrPids), M) end, Map, Groups)}, Count + 1);
        {'DOWN', _, process, Pid, _} ->
            strict(maps:remove({known, Pid}, Members), Count);
        {report, From} ->
            From ! {members, lists:foldl(fun maps:merge/2, #{}, [M || {_, M} <- maps:to_list(Members)])},
            strict(Members, Count);
        {count, From} ->
            From ! {count, Count},
            strict(Members, Count);
        Other ->
            exit({not_of_pg, Other})
    end.

as_list(Pid) when is_pid(Pid) -> [Pid];
as_list([_ | _] = Pids) ->
    true = lists:all(fun is_pid/1, Pids),
    Pids.

%% Exactly who is there: pg crashes for less.
leave(Group, Pids, Map) ->
    #{Group := Members} = Map,
    Left = Members -- Pids,
    true = length(Left) =:= length(Members) - length(Pids),
    case Left of
        [] -> maps:remove(Group, Map);
        _ -> Map#{Group => Left}
    end.

%% ------------------------------------------------------------------ storm

%% BEAM nodes 1 to 5 and tiebeam nodes 6 and 7: joins, leaves, kills of members,
%% lost connections, now and then a node that is killed and comes back. In the
%% end all agree, and with what each says of its own; no scope has restarted.
storm() ->
    Steps = tb_lib:int_env("TB_STORM", 1500),
    Seed = tb_lib:int_env("TB_SEED", 7),
    rand:seed(exsss, {Seed, 8, 9}),
    Nodes = maps:from_list([{I, storm_start(I)} || I <- lists:seq(1, 7)]),
    try
        storm_link(Nodes),
        Scopes = storm_scopes(Nodes),
        {Last, Ends, Counts} = storm_steps(Steps, Nodes, Scopes, #{}),
        storm_link(Last),
        %% who was killed last may still be ending
        tb_lib:until_equal([], fun() -> storm_differences(Last) end),
        View = storm_truth(Last),
        ?assertEqual(Ends, storm_scopes(Last)),
        io:format(user, "  ~w steps: ~0p, ~w memberships of ~w groups~n", [
            Steps, lists:sort(maps:to_list(Counts)), lists:sum([length(Ps) || {_, Ps} <- View]), length(View)
        ])
    after
        ok
    end,
    storm_end().

%% The programs are kept in the dictionary, to be ended in any case.
storm_start(I) when I =< 5 ->
    Name = list_to_atom("storm" ++ integer_to_list(I)),
    B = tb_lib:beam(Name, #{args => ["-connect_all", "false"]}),
    put({storm, I}, B),
    Node = tb_lib:node_of(B),
    {ok, _} = rpc:call(Node, pg, start, [storm]),
    Node;
storm_start(I) ->
    Name = list_to_atom("storm" ++ integer_to_list(I)),
    D = tb_lib:daemon(Name, config([storm])),
    put({storm, I}, D),
    tb_lib:node_of(D).

storm_end() ->
    [
        case I =< 5 of
            true -> tb_lib:end_beam(P);
            false -> tb_lib:stop(P)
        end
     || {{storm, I}, P} <- get()
    ],
    ok.

storm_link(Nodes) ->
    [
        tb_lib:until(fun() -> storm_connect(I, maps:get(I, Nodes), maps:get(J, Nodes)) end)
     || I <- lists:seq(1, 7), J <- lists:seq(1, 7), I < J
    ].

storm_connect(I, A, B) when I =< 5 ->
    true =:= rpc:call(A, net_kernel, connect_node, [B]);
storm_connect(_, A, B) ->
    ok =:= tb_lib:call(A, {connect, B}).

storm_scopes(Nodes) ->
    maps:map(fun(_, N) -> rpc:call(N, erlang, whereis, [storm]) end, Nodes).

%% {Node, what it has too much, what it lacks}
storm_differences(Nodes) ->
    Truth = storm_members_of(storm_truth(Nodes)),
    Views = [{N, storm_members_of(storm_view(N))} || N <- maps:values(Nodes)],
    [{N, View -- Truth, Truth -- View} || {N, View} <- Views, View =/= Truth].

storm_members_of(Groups) ->
    lists:sort([{G, P} || {G, Ps} <- Groups, P <- Ps]).

storm_view(N) ->
    [{G, rpc:call(N, pg, get_members, [storm, G])} || G <- rpc:call(N, pg, which_groups, [storm])].

storm_truth(Nodes) ->
    Own = [
        {G, rpc:call(N, pg, get_local_members, [storm, G])}
     || N <- maps:values(Nodes), G <- rpc:call(N, pg, which_local_groups, [storm])
    ],
    Groups = lists:usort([G || {G, _} <- Own]),
    [{G, lists:sort(lists:append([Ps || {H, Ps} <- Own, H =:= G]))} || G <- Groups].

storm_steps(0, Nodes, Scopes, Counts) ->
    {Nodes, Scopes, Counts};
storm_steps(Left, Nodes, Scopes, Counts) ->
    I = rand:uniform(7),
    What = storm_what(rand:uniform(1000)),
    {Nodes1, Scopes1} = storm_step(What, I, maps:get(I, Nodes), Nodes, Scopes),
    Counted = maps:update_with(What, fun(C) -> C + 1 end, 1, Counts),
    storm_steps(Left - 1, Nodes1, Scopes1, Counted).

storm_what(D) when D =< 450 -> join;
storm_what(D) when D =< 750 -> leave;
storm_what(D) when D =< 900 -> kill;
storm_what(D) when D =< 996 -> cut;
storm_what(_) -> restart.

storm_step(join, I, N, Nodes, Scopes) ->
    Pids = [storm_pid(I, N) || _ <- lists:seq(1, rand:uniform(3))],
    storm_ask(I, N, join, [P || P <- Pids, is_pid(P)]),
    {Nodes, Scopes};
storm_step(leave, I, N, Nodes, Scopes) ->
    case storm_members(N) of
        [] -> ok;
        Members -> storm_ask(I, N, leave, [lists:nth(rand:uniform(length(Members)), Members)])
    end,
    {Nodes, Scopes};
storm_step(kill, I, N, Nodes, Scopes) ->
    case storm_members(N) of
        [] -> ok;
        Members -> storm_kill(I, N, lists:nth(rand:uniform(length(Members)), Members))
    end,
    {Nodes, Scopes};
storm_step(cut, I, N, Nodes, Scopes) ->
    J = rand:uniform(7),
    storm_cut(I, N, J, maps:get(J, Nodes)),
    {Nodes, Scopes};
storm_step(restart, I, _, Nodes, Scopes) ->
    tb_lib:kill(get({storm, I})),
    New = storm_start(I),
    Nodes1 = Nodes#{I => New},
    storm_link(Nodes1),
    {Nodes1, Scopes#{I => rpc:call(New, erlang, whereis, [storm])}}.

%% Without rex a tiebeam node answers no rpc until that has been restarted.
storm_kill(I, _, Pid) when I =< 5 ->
    exit(Pid, kill);
storm_kill(_, N, _) ->
    case pid_at(N, node_monitor) of
        undefined -> ok;
        Pid -> exit(Pid, kill)
    end.

storm_cut(I, _, J, _) when I =:= J ->
    ok;
storm_cut(I, A, J, B) when I > J ->
    storm_cut(J, B, I, A);
storm_cut(I, A, _, B) when I =< 5 ->
    rpc:call(A, erlang, disconnect_node, [B]),
    tb_lib:until(fun() -> storm_is_cut(A, B) end),
    rand:uniform(2) =:= 1 andalso storm_connect(I, A, B);
storm_cut(I, A, _, B) ->
    tb_lib:call(A, {disconnect, B}),
    tb_lib:until(fun() -> storm_is_cut(A, B) end),
    rand:uniform(2) =:= 1 andalso storm_connect(I, A, B).

storm_is_cut(A, B) ->
    case rpc:call(B, erlang, nodes, [connected]) of
        {badrpc, _} -> false;
        Nodes -> not lists:member(A, Nodes)
    end.

storm_pid(I, N) when I =< 5 ->
    member(N);
storm_pid(_, N) ->
    pid_at(N, lists:nth(rand:uniform(4), [rex, net_kernel, tiebeam, node_monitor])).

storm_members(N) ->
    lists:usort(lists:append([
        rpc:call(N, pg, get_local_members, [storm, G])
     || G <- rpc:call(N, pg, which_local_groups, [storm])
    ])).

storm_ask(_, _, _, []) ->
    ok;
storm_ask(_, N, What, Pids) ->
    rpc:call(N, pg, What, [storm, {group, rand:uniform(20)}, storm_form(Pids)]).

storm_form([Pid]) ->
    case rand:uniform(2) of
        1 -> Pid;
        2 -> [Pid]
    end;
storm_form(Pids) ->
    Pids.
