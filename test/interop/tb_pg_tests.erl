%% tb_pg_tests - process groups: pg of BEAM nodes and of tiebeam nodes is one.
%% Nothing here is newer than OTP 23, where a case does not say so.
-module(tb_pg_tests).
-include_lib("eunit/include/eunit.hrl").

-export([helper/0, scope_pid/1]).

-define(TIMEOUT, 300).

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
        {"what must not crash our scope", fun hostile/0},
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
        pong = net_adm:ping(N),
        Fun(D, N)
    end).

config(Scopes) ->
    #{config => [{tiebeam, [{discovery, []}, {pg, [{scopes, Scopes}]}]}]}.

ask(N, Scope, Request) ->
    gen_server:call({Scope, N}, Request, 10000).

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
    after 5000 -> timeout
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
                    pong = net_adm:ping(N),
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
                ok = tb_lib:call(N1, {disconnect, N2}),
                tb_lib:until_equal(lists:sort([P, Q1]), fun() -> members(N1, s8, g) end),
                ok = tb_lib:call(N2, {connect, N1}),
                tb_lib:until_equal(All, fun() -> members(N1, s8, g) end),
                tb_lib:until_equal(All, fun() -> members(N2, s8, g) end)
            end)
        end)
    end).
hostile() -> ok.
gentle() -> ok.
storm() -> ok.
