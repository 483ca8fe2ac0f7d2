%% tb_cluster_tests - clusters of processes over BEAM and tiebeam nodes: who is
%% in, who is told of it, and who leads when the leader has gone.
-module(tb_cluster_tests).
-include_lib("eunit/include/eunit.hrl").

-export([helper/0, told/1, call_loop/3]).

-define(TIMEOUT, 600).
%% Milliseconds that a name may be without a holder: what is printed is far below,
%% but a machine may stand still meanwhile.
-define(MOST_MS, 15000).
-define(TAG, '$gen_cluster').
%% What a caller waits before it tries again.
-define(RETRY_MS, 200).

-spec cluster_test_() -> tuple().
cluster_test_() ->
    {setup, fun() -> tb_lib:join(cluster) end, fun tb_lib:leave/1, [
        {timeout, ?TIMEOUT, {Title, Case}}
     || {Title, Case} <- tb_lib:chosen(cases())
    ]}.

cases() ->
    [
        {"join, leave, lists", fun members/0},
        {"members are told", fun tells/0},
        {"a leader, and the next one", fun leaders/0},
        {"three members seen by all, one leaves", fun three/0},
        {"the leader stops: another live holder of the name", fun takeover/0},
        {"two types in one cluster", fun types/0},
        {"one more, and the leader stops, twice", fun more/0},
        {"add_child: a plain process is a member", fun add_child/0},
        {"callbacks, and what passes through", fun callbacks/0},
        {"without a tiebeam node", fun alone/0},
        {"the name: of a tiebeam, of a member, of a killed node", fun names/0},
        {"a name of a tiebeam that one node has lost", fun lost/0},
        {"the leader leaves, the last one leaves", fun leaves/0},
        {"a name that somebody else has", fun taken/0},
        {"SIGHUP: clusters come, change and go", fun sighup/0},
        {"two names for a process", fun two_names/0},
        {"a member in C", fun in_c/0},
        {"what must not harm process_cluster", fun hostile/0},
        {"a tiebeam joins and goes: no lock, no lost connection", fun cycles/0}
    ].

%% ------------------------------------------------------------- the pieces

-spec helper() -> ok.
helper() ->
    receive
        stop -> ok;
        {'$gen_call', From, who} ->
            gen_server:reply(From, self()),
            helper();
        _ -> helper()
    end.

member(Node) ->
    spawn(Node, ?MODULE, helper, []).

%% A member that passes on what it is told.
-spec told(pid()) -> no_return().
told(To) ->
    receive
        {process_cluster, Cluster, Event} -> To ! {self(), Cluster, Event};
        {global_name_conflict, _} -> ok
    end,
    told(To).

told_member(Node) ->
    spawn(Node, ?MODULE, told, [self()]).

next() ->
    receive
        M -> M
    after 60000 -> timeout
    end.

ask(N, Request) ->
    gen_server:call({process_cluster, N}, Request, 60000).

with_tiebeam(Name, Fun) ->
    with_tiebeam(Name, [], Fun).

with_tiebeam(Name, Section, Fun) ->
    Config = [{tiebeam, [{discovery, []}] ++ Section}],
    tb_lib:with_daemon(Name, #{config => Config}, fun(D, N) ->
        tb_lib:until_equal(pong, fun() -> net_adm:ping(N) end),
        Fun(D, N)
    end).

%% As many BEAM nodes, connected to each other and to the tiebeam node.
with_beams(Count, N, Fun) ->
    with_beams(Count, N, [], Fun).

with_beams(Count, N, Args, Fun) ->
    Beams = [tb_lib:beam(list_to_atom("beam" ++ integer_to_list(I)), #{args => Args}) || I <- lists:seq(1, Count)],
    Nodes = [tb_lib:node_of(B) || B <- Beams],
    try
        [tb_lib:until_equal(true, fun() -> rpc:call(A, net_kernel, connect_node, [B]) end) || A <- Nodes, B <- Nodes, A < B],
        [tb_lib:link(A, N) || A <- Nodes],
        [tb_lib:until_equal(ok, fun() -> rpc:call(A, global, sync, []) end) || A <- Nodes],
        Fun(Beams, Nodes)
    after
        [tb_lib:end_beam(B) || B <- Beams],
        tb_lib:until(fun() -> Nodes -- nodes() =:= Nodes end)
    end.

%% What that tiebeam node sent to this one, a monitor perhaps, is there.
crossed(N, Node) ->
    true = is_list(rpc:call(Node, gen_server, call, [{process_cluster, N}, clusters, 60000])).

holder(Node, Name) ->
    rpc:call(Node, global, whereis_name, [Name]).

%% All these nodes see that holder: the time it took, in milliseconds.
until_holder(Nodes, Name, IsRight) ->
    Start = erlang:monotonic_time(millisecond),
    tb_lib:until(fun() ->
        case lists:usort([holder(Node, Name) || Node <- Nodes]) of
            [Pid] when is_pid(Pid) -> IsRight(Pid);
            _ -> false
        end
    end),
    erlang:monotonic_time(millisecond) - Start.

sorted(Plist) ->
    lists:sort([{Type, lists:sort(Pids)} || {Type, Pids} <- Plist]).

%% ---------------------------------------------------------------- members

members() ->
    with_tiebeam(t, fun(_, N) ->
        with_beams(1, N, fun(_, [B]) ->
            ?assertEqual([], ask(N, {plist, chat})),
            ?assertEqual(undefined, ask(N, {leader, chat})),
            P = member(node()),
            Q = member(B),
            R = tb_lib:pid_of(N, rex),
            [?assertEqual(ok, ask(N, {join, chat, T, M})) || {T, M} <- [{room, P}, {room, Q}, {bot, R}]],
            ?assertEqual(ok, ask(N, {join, chat, room, P})),
            All = lists:sort([{bot, [R]}, {room, lists:sort([P, Q])}]),
            ?assertEqual(All, sorted(ask(N, {plist, chat}))),
            ?assertEqual([P, Q], ask(N, {mod_plist, chat, room})),
            ?assertEqual([], ask(N, {mod_plist, chat, nosuch})),
            ?assertEqual([chat], ask(N, clusters)),
            %% pg of every node has them
            [
                tb_lib:until_equal(Expected, fun() ->
                    lists:sort(rpc:call(Node, pg, get_members, [tiebeam_cluster, {chat, Type}]))
                end)
             || Node <- [node(), B, N], {Type, Expected} <- All
            ],
            %% who joins by pg alone is a member, too
            ok = pg:join(tiebeam_cluster, {chat, bot}, self()),
            tb_lib:until_equal(lists:sort([R, self()]), fun() -> lists:sort(ask(N, {mod_plist, chat, bot})) end),
            ok = pg:leave(tiebeam_cluster, {chat, bot}, self()),
            tb_lib:until_equal([R], fun() -> ask(N, {mod_plist, chat, bot}) end),
            ?assertEqual(ok, ask(N, {leave, chat, Q})),
            ?assertEqual([P], ask(N, {mod_plist, chat, room})),
            ?assertEqual([], rpc:call(B, pg, which_groups, [tiebeam_cluster]) -- [{chat, room}, {chat, bot}]),
            ?assertEqual(not_joined, ask(N, {leave, chat, Q})),
            ?assertEqual(ok, ask(N, {leave, chat, R})),
            exit(P, kill),
            tb_lib:until_equal([], fun() -> ask(N, {plist, chat}) end),
            tb_lib:until_equal([], fun() -> rpc:call(B, pg, which_groups, [tiebeam_cluster]) end),
            tb_lib:until_equal(undefined, fun() -> global:whereis_name(chat) end),
            [
                ?assertEqual({error, badarg}, ask(N, Bad))
             || Bad <- [{join, chat, room, x}, {leave, chat, x}, {tell, chat, x}, {join, chat, room, x, []}]
            ],
            ?assertEqual({error, {badarg, x}}, ask(N, {join, chat, room, self(), x})),
            ?assertEqual({error, system_limit}, ask(N, {join, chat, <<0:40000>>, self()})),
            ?assertEqual({error, noconnection}, ask(N, {join, chat, room, dead_pid(B)}))
        end)
    end).

%% Of a node that has never been.
dead_pid(Node) ->
    Name = atom_to_binary(Node, utf8),
    Other = <<"x", Name/binary>>,
    binary_to_term(<<131, 88, 119, (byte_size(Other)), Other/binary, 50:32, 0:32, 7:32>>).

tells() ->
    with_tiebeam(t, fun(_, N) ->
        with_beams(1, N, fun(Beams, [B]) ->
            P = told_member(node()),
            ?assertEqual(ok, ask(N, {join, chat, room, P})),
            ?assertMatch({P, chat, {plist, [{room, [P]}], undefined}}, next()),
            ?assertEqual({P, chat, {leader, P}}, next()),
            Q = told_member(B),
            ?assertEqual(ok, ask(N, {join, chat, room, Q})),
            ?assertEqual(lists:sort([{P, chat, {join, room, Q, true}}, {Q, chat, {plist, [{room, [P, Q]}], P}}]), lists:sort([next(), next()])),
            R = member(B),
            ?assertEqual(ok, ask(N, {join, chat, bot, R, [{tell, false}]})),
            ?assertEqual(lists:sort([{X, chat, {join, bot, R, false}} || X <- [P, Q]]), lists:sort([next(), next()])),
            crossed(N, B),
            exit(R, because),
            ?assertEqual(lists:sort([{X, chat, {leave, bot, R, because}} || X <- [P, Q]]), lists:sort([next(), next()])),
            %% a leave by pg, with no reason of an end
            ok = pg:join(tiebeam_cluster, {chat, bot}, self()),
            ?assertEqual(lists:sort([{X, chat, {join, bot, self(), false}} || X <- [P, Q]]), lists:sort([next(), next()])),
            ok = pg:leave(tiebeam_cluster, {chat, bot}, self()),
            ?assertEqual(lists:sort([{X, chat, {leave, bot, self(), leave}} || X <- [P, Q]]), lists:sort([next(), next()])),
            ok = ask(N, {tell, chat, self()}),
            ?assertMatch({process_cluster, chat, {plist, [{room, [P, Q]}], P}}, next()),
            ok = ask(N, {untell, chat, self()}),
            tb_lib:signal(hd(Beams), "KILL"),
            ?assertEqual({P, chat, {leave, room, Q, noconnection}}, next()),
            ?assertEqual(ok, ask(N, {leave, chat, P})),
            ?assertEqual([], tb_lib:flush())
        end)
    end).

leaders() ->
    with_tiebeam(t, fun(_, N) ->
        with_beams(3, N, fun(Beams, Nodes) ->
            Members = [member(Node) || Node <- Nodes],
            [ok = ask(N, {join, lead, m, M}) || M <- Members],
            [First | _] = Members,
            until_holder(Nodes, lead, fun(P) -> P =:= First end),
            tb_lib:until_equal(First, fun() -> ask(N, {leader, lead}) end),
            Times = [kill_leader(N, Nodes, Members) || _ <- [1, 2]],
            %% and a member on a node that is killed
            [Last] = [M || M <- Members, rpc:call(node(M), erlang, is_process_alive, [M])],
            More = [member(Node) || Node <- Nodes, Node =/= node(Last)],
            [ok = ask(N, {join, lead, m, M}) || M <- More],
            tb_lib:until_equal(Last, fun() -> ask(N, {leader, lead}) end),
            [Victim] = [B || B <- Beams, tb_lib:node_of(B) =:= node(Last)],
            Left = Nodes -- [node(Last)],
            tb_lib:signal(Victim, "KILL"),
            Killed = until_holder(Left, lead, fun(P) -> lists:member(P, More) end),
            io:format(user, "  taken over after ~w ms; of a killed node after ~w ms~n", [Times, Killed]),
            [?assert(T =< ?MOST_MS) || T <- [Killed | Times]]
        end)
    end).

kill_leader(N, Nodes, Members) ->
    Leader = holder(hd(Nodes), lead),
    true = lists:member(Leader, Members),
    until_holder(Nodes, lead, fun(P) -> P =:= Leader end),
    tb_lib:until_equal(Leader, fun() -> ask(N, {leader, lead}) end),
    exit(Leader, kill),
    until_holder(Nodes, lead, fun(P) -> P =/= Leader end).


%% ------------------------------------------------- the behaviour's members

%% As many members of cluster tb_member, one on each BEAM node.
with_members(Count, Fun) ->
    with_tiebeam(t, fun(_, N) ->
        with_beams(Count, N, fun(_, Nodes) ->
            Pids = [tb_member:start(Node, []) || Node <- Nodes],
            until_plist(N, Pids, [{tb_member, Pids}]),
            Fun(N, Nodes, Pids)
        end)
    end).

%% All of them, and the tiebeam node, have that list.
until_plist(N, Pids, Plist) ->
    Expected = sorted(Plist),
    [tb_lib:until_equal(Expected, fun() -> sorted(tiebeam_cluster:plist(P)) end) || P <- Pids],
    tb_lib:until_equal(Expected, fun() -> sorted(ask(N, {plist, tb_member})) end).

stop(Pid) ->
    Ref = monitor(process, Pid),
    ok = tb_member:ask(Pid, stop),
    receive
        {'DOWN', Ref, process, Pid, normal} -> ok
    end.

three() ->
    with_members(3, fun(N, _, [A, B, C]) ->
        %% their monitors have come to where B is
        [true = rpc:call(node(P), rpc, call, [node(B), erlang, is_process_alive, [B]]) || P <- [A, C]],
        [?assertEqual(lists:sort([A, B, C]), lists:sort(tiebeam_cluster:mod_plist(tb_member, P))) || P <- [A, B, C]],
        stop(B),
        until_plist(N, [A, C], [{tb_member, [A, C]}]),
        [?assertMatch([{leave, B, [{tb_member, [_, _]}], normal}], [E || {leave, _, _, _} = E <- tb_member:events(P)]) || P <- [A, C]]
    end).

takeover() ->
    with_members(3, fun(N, Nodes, Pids) ->
        until_holder(Nodes, tb_member, fun(P) -> lists:member(P, Pids) end),
        Leader = tiebeam_cluster:leader(hd(Pids)),
        [?assertEqual(Leader, tiebeam_cluster:leader(P)) || P <- Pids],
        stop(Leader),
        Left = Pids -- [Leader],
        Ms = until_holder(Nodes, tb_member, fun(P) -> lists:member(P, Left) end),
        io:format(user, "  another leader after ~w ms~n", [Ms]),
        ?assert(Ms =< ?MOST_MS),
        New = tiebeam_cluster:leader(hd(Left)),
        tb_lib:until_equal(New, fun() -> ask(N, {leader, tb_member}) end),
        ?assertEqual(New, rpc:call(hd(Nodes), tb_member, ask, [{global, tb_member}, who])),
        [
            tb_lib:until(fun() -> lists:last([L || {leader, L} <- tb_member:events(P)]) =:= New end)
         || P <- Left
        ]
    end).

types() ->
    with_members(2, fun(N, [Node | _], [A, B]) ->
        C = tb_member:start(Node, [{cluster, tb_member}, {type, other}]),
        until_plist(N, [A, B, C], [{other, [C]}, {tb_member, [A, B]}]),
        ?assertEqual([C], tiebeam_cluster:mod_plist(other, A)),
        exit(A, kill),
        until_plist(N, [B, C], [{other, [C]}, {tb_member, [B]}]),
        ?assertMatch([{leave, A, _, killed}], [E || {leave, _, _, _} = E <- tb_member:events(C)])
    end).

more() ->
    with_members(2, fun(N, Nodes, [A, B]) ->
        [C, D] = [tb_member:start(Node, []) || Node <- Nodes],
        until_plist(N, [A, B, C, D], [{tb_member, [A, B, C, D]}]),
        lists:foldl(
            fun(_, Pids) ->
                until_holder(Nodes, tb_member, fun(P) -> lists:member(P, Pids) end),
                Leader = tiebeam_cluster:leader(hd(Pids)),
                stop(Leader),
                Left = Pids -- [Leader],
                Ms = until_holder(Nodes, tb_member, fun(P) -> lists:member(P, Left) end),
                ?assert(Ms =< ?MOST_MS),
                until_plist(N, Left, [{tb_member, Left}]),
                Left
            end,
            [A, B, C, D],
            [1, 2]
        )
    end).

add_child() ->
    with_members(2, fun(N, [X, Y], [A, B]) ->
        Plain = member(X),
        Far = member(Y),
        Ours = tb_lib:pid_of(N, rex),
        [?assertEqual(ok, tiebeam_cluster:add_child(A, plain, P)) || P <- [Plain, Far, Ours]],
        until_plist(N, [A, B], [{plain, lists:sort([Plain, Far, Ours])}, {tb_member, [A, B]}]),
        exit(Plain, kill),
        until_plist(N, [A, B], [{plain, lists:sort([Far, Ours])}, {tb_member, [A, B]}]),
        ?assertMatch({error, _}, tiebeam_cluster:add_child(A, plain, dead_pid(X)))
    end).

callbacks() ->
    with_members(2, fun(N, [X, Y], [A, B]) ->
        ?assertEqual(true, tb_member:ask(A, continued)),
        tb_lib:until_equal([{node, Y}], fun() -> [E || {node, _} = E <- tb_member:events(A)] end),
        tb_lib:until_equal([{node, X}], fun() -> [E || {node, _} = E <- tb_member:events(B)] end),
        tb_lib:until_equal([{join, B, [{tb_member, [A, B]}]}], fun() -> [E || {join, _, _} = E <- tb_member:events(A)] end),
        gen_server:cast(A, {some, cast}),
        A ! some_info,
        A ! {'DOWN', make_ref(), process, self(), none},
        A ! {global_name_conflict, another},
        Last = [{cast, {some, cast}}, {info, some_info}],
        tb_lib:until(fun() -> lists:prefix(Last, [E || {K, _} = E <- tb_member:events(A), K =:= cast orelse K =:= info]) end),
        %% pg's scope on that node dies: it is started again, and joined
        Scope = tb_lib:pid_of(X, tiebeam_cluster),
        exit(Scope, kill),
        tb_lib:until(fun() -> not lists:member(tb_lib:pid_of(X, tiebeam_cluster), [Scope, undefined]) end),
        until_plist(N, [A, B], [{tb_member, [A, B]}]),
        tb_lib:until_equal(lists:sort([A, B]), fun() -> lists:sort(rpc:call(Y, pg, get_members, [tiebeam_cluster, {tb_member, tb_member}])) end),
        %% a seed
        {ok, C} = tiebeam_cluster:start({local, seeded}, tb_member, #{seeds => [X], tell => self()}, []),
        until_plist(N, [A, B, C], [{tb_member, [A, B, C]}]),
        ?assertEqual(ignore, tiebeam_cluster:start(tb_member, #{ignore => true}, [])),
        ?assertEqual(tb_member, tiebeam_cluster:cluster(seeded)),
        ?assertExit(_, gen_server:call(C, nonsense)),
        receive
            {terminated, C, Why} -> ?assertMatch({function_clause, _}, Why)
        end,
        ?assertEqual([], tb_lib:flush())
    end).

%% Members find each other, and a leader, by OTP alone.
alone() ->
    with_tiebeam(t, fun(D, N) ->
        with_beams(3, N, fun(_, Nodes) ->
            Pids = [tb_member:start(Node, []) || Node <- Nodes],
            until_plist(N, Pids, [{tb_member, Pids}]),
            until_holder(Nodes, tb_member, fun(P) -> lists:member(P, Pids) end),
            tb_lib:signal(D, "STOP"),
            Leader = tiebeam_cluster:leader(hd(Pids)),
            exit(Leader, kill),
            Left = Pids -- [Leader],
            Ms = until_holder(Nodes, tb_member, fun(P) -> lists:member(P, Left) end),
            io:format(user, "  without a tiebeam node after ~w ms~n", [Ms]),
            ?assert(Ms =< ?MOST_MS),
            [tb_lib:until_equal(sorted([{tb_member, Left}]), fun() -> sorted(tiebeam_cluster:plist(P)) end) || P <- Left],
            tb_lib:signal(D, "CONT"),
            until_plist(N, Left, [{tb_member, Left}]),
            tb_lib:until_equal(tiebeam_cluster:leader(hd(Left)), fun() -> ask(N, {leader, tb_member}) end)
        end)
    end).


%% ------------------------------------------------------------------- names

%% Calls {global, Name} all the time, and once more after a failure.
-spec call_loop(term(), pid(), {pos_integer(), non_neg_integer()}) -> ok.
call_loop(Name, To, {Pause, Calls}) ->
    receive
        stop -> ok;
        {count, From} ->
            From ! {count, self(), Calls},
            call_loop(Name, To, {Pause, Calls})
    after 1 ->
        case call_once(Name) of
            ok ->
                call_loop(Name, To, {Pause, Calls + 1});
            {failed, _} ->
                To ! {failed, self(), call_again(Name, Pause, 1)},
                call_loop(Name, To, {Pause, Calls + 1})
        end
    end.

%% How many calls in a row failed, and how the last one ended.
call_again(Name, Pause, Failed) ->
    receive
    after Pause -> ok
    end,
    case call_once(Name) of
        {failed, _} when Pause * Failed < ?MOST_MS -> call_again(Name, Pause, Failed + 1);
        How -> {Failed, How}
    end.

call_once(Name) ->
    try gen_server:call({global, Name}, {?TAG, globally_registered_name}, 60000) of
        Name -> ok;
        Other -> {failed, Other}
    catch
        exit:Reason -> {failed, Reason}
    end.

%% Runs Fun, which loses the holder; some failed, and were served after a pause.
with_callers(Nodes, Name, Pause, Fun) ->
    Callers = [spawn(Node, ?MODULE, call_loop, [Name, self(), {Pause, 0}]) || Node <- Nodes],
    Before = until_calls(Callers, 20),
    Result = Fun(),
    After = until_calls(Callers, lists:max(Before) + 20),
    [C ! stop || C <- Callers],
    Failed = [How || {failed, _, How} <- tb_lib:flush()],
    ?assertEqual([], [How || {_, How} <- Failed, How =/= ok]),
    {Result, lists:sum(After), [N || {N, ok} <- Failed]}.

%% Each has made so many.
until_calls(Callers, AtLeast) ->
    tb_lib:until(fun() -> lists:min(counts(Callers)) >= AtLeast end),
    counts(Callers).

counts(Callers) ->
    [C ! {count, self()} || C <- Callers],
    [
        receive
            {count, C, Count} -> Count
        end
     || C <- Callers
    ].

seat_config(Type) ->
    [{tiebeam, [{discovery, []}, {process_clusters, [{seats, [{member, Type}]}]}]}].

names() ->
    T1 = tb_lib:daemon(t1, #{config => seat_config(seat)}),
    T2 = tb_lib:daemon(t2, #{config => seat_config(seat)}),
    try
        names(T1, T2)
    catch
        Class:Reason:Stack ->
            [tb_lib:signal(tb_lib:os_pid(T), "KILL") || T <- [T1, T2 | [T || T <- [get(third)], T =/= undefined]]],
            erlang:raise(Class, Reason, Stack)
    end.

names(T1, T2) ->
    Pause =
        case tb_lib:is_sanitized(T1) of
            true -> 3 * ?RETRY_MS;
            false -> ?RETRY_MS
        end,
    {N1, N2} = {tb_lib:node_of(T1), tb_lib:node_of(T2)},
    with_beams(4, N1, fun(Beams, [B1, B2, B3, B4] = Nodes) ->
        [tb_lib:link(B, N2) || B <- Nodes],
        ok = tb_lib:call(N1, {connect, N2}),
        On = fun(Where) -> fun(P) -> lists:member(node(P), Where) end end,
        until_holder(Nodes, seats, On([N1, N2])),
        First = node(holder(B1, seats)),
        [Killed, Left] = [T || N <- [First, hd([N1, N2] -- [First])], T <- [T1, T2], tb_lib:node_of(T) =:= N],
        tb_lib:until(fun() -> length(ask(tb_lib:node_of(Left), {mod_plist, seats, seat})) =:= 2 end),
        Second = tb_lib:node_of(Left),
        Lose = fun(Title, Fun, Where) ->
            Alive = [B || B <- Nodes, lists:member(B, erlang:nodes())],
            Callers = [B || B <- [B3, B4], lists:member(B, Alive)],
            {Ms, Calls, Failed} = with_callers(Callers, seats, Pause, fun() ->
                Fun(),
                until_holder([B || B <- Nodes, lists:member(B, Callers)], seats, On(Where))
            end),
            io:format(user, "  ~s: taken over after ~w ms; of ~w calls these failed, so often in a row: ~w~n", [Title, Ms, Calls, Failed]),
            ?assert(Ms =< ?MOST_MS)
        end,
        Lose("held by tiebeam, kill -9", fun() -> tb_lib:kill(Killed) end, [Second]),
        M1 = tb_member:start(B1, [{cluster, seats}]),
        _ = tb_member:start(B2, [{cluster, seats}]),
        Third = tb_lib:daemon(t3, #{config => seat_config(other)}),
        put(third, Third),
        N3 = tb_lib:node_of(Third),
        [tb_lib:link(B, N3) || B <- Nodes],
        ok = tb_lib:call(N3, {connect, Second}),
        tb_lib:until(fun() -> length(ask(N3, {mod_plist, seats, tb_member})) =:= 2 end),
        tb_lib:until(fun() -> is_pid(ask(N3, {leader, seats})) end),
        ?assertEqual(Second, node(holder(B1, seats))),
        Lose("held by tiebeam, stopped", fun() -> tb_lib:stop(Left) end, [B1]),
        Lose("held by a member", fun() -> exit(M1, kill) end, [B2]),
        M3 = tb_member:start(B3, [{cluster, seats}]),
        tb_lib:until(fun() -> lists:member(M3, ask(N3, {mod_plist, seats, tb_member})) end),
        Lose("held by a member on a killed node", fun() -> tb_lib:signal(lists:nth(2, Beams), "KILL") end, [B3]),
        Lose("held by the last member", fun() -> exit(M3, kill) end, [N3]),
        tb_lib:stop(Third),
        tb_lib:until_equal(undefined, fun() -> holder(B3, seats) end)
    end).

lost() ->
    tb_lib:with_daemon(t, #{config => seat_config(seat)}, fun(_, N) ->
        with_beams(3, N, fun(_, Nodes) ->
            until_holder(Nodes, seats, fun(P) -> node(P) =:= N end),
            Holder = holder(hd(Nodes), seats),
            [
                begin
                    true = rpc:call(B, erlang, disconnect_node, [N]),
                    tb_lib:until_equal(undefined, fun() -> holder(B, seats) end),
                    [?assertEqual(Holder, holder(Other, seats)) || Other <- Nodes, Other =/= B],
                    tb_lib:link(B, N),
                    until_holder(Nodes, seats, fun(P) -> P =:= Holder end)
                end
             || B <- Nodes
            ]
        end)
    end).

leaves() ->
    with_tiebeam(t, fun(_, N) ->
        with_beams(2, N, fun(_, [B1, B2] = Nodes) ->
            P = member(B1),
            Q = member(B2),
            [ok = ask(N, {join, lv, m, X}) || X <- [P, Q]],
            until_holder(Nodes, lv, fun(H) -> H =:= P end),
            tb_lib:until_equal(P, fun() -> ask(N, {leader, lv}) end),
            ok = ask(N, {leave, lv, P}),
            until_holder(Nodes, lv, fun(H) -> H =:= Q end),
            ok = ask(N, {leave, lv, Q}),
            [tb_lib:until_equal(undefined, fun() -> holder(B, lv) end) || B <- Nodes],
            [?assert(rpc:call(node(X), erlang, is_process_alive, [X])) || X <- [P, Q]]
        end)
    end).

sighup() ->
    Section = fun(Clusters) -> [{process_clusters, Clusters}] end,
    with_tiebeam(t, Section([{seats, [{member, seat}]}]), fun(D, N) ->
        Reload = fun(Clusters) -> tb_lib:reload(D, t, [{tiebeam, [{discovery, []} | Section(Clusters)]}]) end,
        with_beams(2, N, fun(_, [B1, B2] = Nodes) ->
            until_holder(Nodes, seats, fun(H) -> node(H) =:= N end),
            [Seat] = ask(N, {mod_plist, seats, seat}),
            P = told_member(B1),
            ok = ask(N, {join, seats, m, P}),
            {P, seats, {plist, _, _}} = next(),
            %% it is the same process, of another type; and there is one more
            Reload([{seats, [{member, other}]}, {more, [{member, seat}]}]),
            ?assertEqual({P, seats, {leave, seat, Seat, leave}}, event(P, leave)),
            ?assertEqual({P, seats, {join, other, Seat, true}}, event(P, join)),
            until_holder(Nodes, more, fun(H) -> node(H) =:= N end),
            tb_lib:wait_output(D, "key=process_clusters.seats\n"),
            tb_lib:wait_output(D, "key=process_clusters.more started"),
            %% it goes, and its name with it; seeds are dialled at once
            tb_lib:with_beam(far, #{}, fun(_, Far) ->
                Reload([{seats, [{member, other}, {seed, Far}]}]),
                tb_lib:until(fun() -> lists:member(Far, tb_lib:call(N, nodes)) end)
            end),
            [tb_lib:until_equal(undefined, fun() -> holder(B, more) end) || B <- Nodes],
            tb_lib:wait_output(D, "key=process_clusters.more ended"),
            ?assertEqual([Seat], ask(N, {mod_plist, seats, other})),
            %% what is wrong is refused with its place, and changes nothing
            Reload([{seats, [{sead, B2}]}]),
            tb_lib:wait_output(D, "config.refused\\] .*t.config:[0-9]+: .*process_clusters.seats.sead"),
            ?assertEqual([Seat], ask(N, {mod_plist, seats, other})),
            Reload([]),
            ?assertEqual({P, seats, {leave, other, Seat, leave}}, event(P, leave)),
            until_holder(Nodes, seats, fun(H) -> H =:= P end),
            tb_lib:wait_output(D, "key=process_clusters.seats ended"),
            %% none at all: names of ours are released, those of others stay
            Reload([{more, [{member, seat}]}]),
            until_holder(Nodes, more, fun(H) -> node(H) =:= N end),
            Down = monitor(process, tb_lib:pid_of(N, process_cluster)),
            Reload(off),
            receive
                {'DOWN', Down, process, _, Why} -> ?assertEqual(normal, Why)
            after 60000 -> error(still_there)
            end,
            [?assertEqual(undefined, holder(B, more)) || B <- Nodes],
            [?assertEqual(P, holder(B, seats)) || B <- Nodes],
            tb_lib:until_equal(undefined, fun() -> tb_lib:pid_of(N, tiebeam_cluster) end),
            %% and all of it again
            Reload([{seats, [{member, seat}]}]),
            tb_lib:until_equal([{m, 1}, {seat, 1}], fun() ->
                case catch ask(N, {plist, seats}) of
                    Plist when is_list(Plist) -> lists:sort([{T, length(Ps)} || {T, Ps} <- Plist]);
                    Other -> Other
                end
            end),
            ?assertEqual(P, holder(B2, seats)),
            ?assertEqual(nomatch, binary:match(tb_lib:output(D), <<"service.ended">>))
        end)
    end).

%% The next of that kind that it was told.
event(Pid, Kind) ->
    receive
        {Pid, _, Event} = Told when element(1, Event) =:= Kind -> Told
    after 60000 -> timeout
    end.

taken() ->
    with_tiebeam(t, fun(_, N) ->
        with_beams(2, N, fun(_, [B1, B2] = Nodes) ->
            Foreign = member(B1),
            yes = rpc:call(B1, global, register_name, [tk, Foreign]),
            Q = member(B2),
            ok = ask(N, {join, tk, m, Q}),
            tb_lib:until_equal(Foreign, fun() -> ask(N, {leader, tk}) end),
            until_holder(Nodes, tk, fun(H) -> H =:= Foreign end),
            exit(Foreign, kill),
            until_holder(Nodes, tk, fun(H) -> H =:= Q end),
            tb_lib:until_equal(Q, fun() -> ask(N, {leader, tk}) end)
        end)
    end).

two_names() ->
    with_tiebeam(t, fun(_, N) ->
        with_beams(2, N, fun(_, [B | _] = Nodes) ->
            P = member(B),
            [ok = ask(N, {join, C, m, P}) || C <- [n1, n2, n3]],
            [until_holder(Nodes, C, fun(H) -> H =:= P end) || C <- [n1, n2, n3]],
            exit(P, kill),
            [tb_lib:until_equal(undefined, fun() -> holder(B, C) end) || C <- [n1, n2, n3]],
            tb_lib:until_equal([], fun() -> ask(N, clusters) end)
        end)
    end).

%% test/interop/probe.c: tiebeam.h alone.
in_c() ->
    N = list_to_atom(tb_lib:name(probe) ++ "@" ++ tb_lib:host()),
    Bin = filename:absname(os:getenv("PROBE_BIN", "build/release/test/interop/probe")),
    Probe = tb_lib:start(Bin, [atom_to_list(N), tb_lib:cookie(), "clusters"]),
    _ = tb_lib:wait_output(Probe, "ready ok"),
    Ask = fun(Request) -> gen_server:call({probe, N}, Request, 60000) end,
    {status, Self, _, _} = sys:get_status({probe, N}),
    A = tb_member:start(node(), [{cluster, cc}, {type, beam}]),
    tb_lib:until_equal([A], fun() -> ask(N, {mod_plist, cc, beam}) end),
    tb_lib:until_equal(A, fun() -> ask(N, {leader, cc}) end),
    ok = Ask({cluster_join, cc, probe}),
    Seen = fun(Count) -> seen(Ask, Count, []) end,
    ?assertEqual([{members, cc, [{beam, [A]}, {probe, [Self]}]}, {leader, cc, A}], Seen(2)),
    tb_lib:until_equal([{beam, [A]}, {probe, [Self]}], fun() -> lists:sort(tiebeam_cluster:plist(A)) end),
    tb_lib:with_beam(b, #{}, fun(_, Node) ->
        tb_lib:until_equal(true, fun() -> rpc:call(Node, net_kernel, connect_node, [N]) end),
        B = tb_member:start(Node, [{cluster, cc}, {type, beam}]),
        ?assertEqual([{join, cc, beam, B, true}], Seen(1)),
        C = tb_member:start(Node, [{cluster, cc}, {type, beam}]),
        ?assertEqual([{join, cc, beam, C, false}], Seen(1)),
        tb_lib:until_equal(lists:sort([A, B, C]), fun() -> lists:sort(tiebeam_cluster:mod_plist(beam, A)) end),
        crossed(N, Node),
        exit(C, because),
        ?assertEqual([{leave, cc, beam, C, because}], Seen(1)),
        exit(B, kill),
        ?assertEqual([{leave, cc, beam, B, killed}], Seen(1))
    end),
    %% it is the last, and leads: the name is a C process
    exit(A, kill),
    ?assertEqual([{leave, cc, beam, A, killed}, {leader, cc, Self}], Seen(2)),
    tb_lib:until_equal(Self, fun() -> global:whereis_name(cc) end),
    ?assertMatch(#{name := N}, gen_server:call({global, cc}, info)),
    %% the service ends, and is told of
    {status, Service, _, _} = sys:get_status({process_cluster, N}),
    exit(Service, kill),
    ?assertEqual([cluster_down], Seen(1)),
    gen_server:cast({probe, N}, stop),
    ?assertEqual(0, tb_lib:wait_exit(Probe)).

seen(_, Count, Got) when length(Got) >= Count ->
    Got;
seen(Ask, Count, Got) ->
    Self = self(),
    tb_lib:until(fun() ->
        New = Ask(seen),
        Self ! {seen, New},
        New =/= []
    end),
    seen(Ask, Count, Got ++ lists:append([New || {seen, New} <- tb_lib:flush()])).

hostile() ->
    with_tiebeam(t, fun(D, N) ->
        P = member(node()),
        ok = ask(N, {join, h, m, P}),
        Server = tb_lib:pid_of(N, process_cluster),
        Scope = tb_lib:pid_of(N, tiebeam_cluster),
        X = [x, [], P, [P | x], make_ref(), #{}, <<0:80000>>, self()],
        Requests =
            [{join, A, B, C} || A <- X, B <- X, C <- X] ++ [{leave, A, B} || A <- X, B <- X] ++
                [{K, A} || K <- [plist, leader, info, tell, x], A <- X] ++ [{mod_plist, A, B} || A <- X, B <- X] ++
                [{tell, A, B} || A <- X, B <- X] ++ [{untell, A, B} || A <- X, B <- X],
        [gen_server:send_request({process_cluster, N}, R) || R <- Requests],
        [
            {process_cluster, N} ! M
         || M <-
                [{A, join, B, C} || A <- X, B <- X, C <- X] ++ [{A, leave, {h, m}, C} || A <- X, C <- X] ++
                    [{'DOWN', A, process, B, C} || A <- X, B <- X, C <- X] ++ [{left, A, B, C} || A <- X, B <- X, C <- X] ++
                    [{waited, A, B, C} || A <- X, B <- X, C <- X] ++ [{check, A} || A <- X] ++
                    [{nodeup, A, #{node_type => visible}} || A <- [y | X]] ++
                    [{nodedown, A, #{node_type => visible}} || A <- [y, x]] ++
                    [{process_cluster, h, A} || A <- X] ++ [{global_name_conflict, A} || A <- X]
        ],
        %% groups that are none of ours
        _ = pg:start(tiebeam_cluster),
        [ok = pg:join(tiebeam_cluster, G, P) || G <- [x, {x}, {h, m, x}, [h | m], <<0:80000>>]],
        ?assertMatch({badrpc, _}, rpc:call(N, global, resolve_it, [a, b, c, d])),
        ?assertEqual(P, rpc:call(N, global, resolve_it, [a, b, P, Server])),
        ?assertEqual(P, rpc:call(N, global, resolve_it, [a, b, Server, P])),
        tb_lib:until(fun() -> lists:member(P, ask(N, {mod_plist, h, m})) end),
        ?assertEqual(Server, tb_lib:pid_of(N, process_cluster)),
        ?assertEqual(Scope, tb_lib:pid_of(N, tiebeam_cluster)),
        exit(P, kill),
        tb_lib:until(fun() -> ask(N, {plist, h}) =:= [] orelse not lists:member(P, ask(N, {mod_plist, h, m})) end),
        ?assertEqual(nomatch, binary:match(tb_lib:output(D), <<"crashed">>)),
        _ = tb_lib:flush(),
        %% it ends, with all that it knows, and learns it anew
        Q = member(node()),
        ok = ask(N, {join, h2, m, Q}),
        [
            begin
                exit(tb_lib:pid_of(N, Name), kill),
                tb_lib:until(fun() -> [Q] =:= (catch ask(N, {mod_plist, h2, m})) end)
            end
         || Name <- [process_cluster, tiebeam_cluster]
        ]
    end).

%% ------------------------------------------------------------------- cycles

%% Each time it has a seat, and leads; half of the times it is killed.
cycles() ->
    Count = tb_lib:int_env("TB_CLUSTER_CYCLES", 40),
    %% as nodes are by default: one lost connection makes others drop theirs
    Args = ["-kernel", "prevent_overlapping_partitions", "true"],
    tb_lib:with_daemon(t0, #{}, fun(_, N0) ->
        with_beams(3, N0, Args, fun(_, Nodes) ->
            [?assertEqual({ok, true}, rpc:call(B, application, get_env, [kernel, prevent_overlapping_partitions])) || B <- Nodes],
            Watchers = [{B, watch_downs(B)} || B <- Nodes],
            [cycle(I, Nodes) || I <- lists:seq(1, Count)],
            [tb_lib:until_equal([], fun() -> locks(B) end) || B <- [node() | Nodes]],
            [?assertEqual([], downs(W, Nodes)) || {_, W} <- Watchers],
            [?assertEqual(Nodes -- [B], lists:sort(rpc:call(B, erlang, nodes, [])) -- [node()]) || B <- Nodes],
            %% and names can be registered still
            P = member(node()),
            yes = rpc:call(hd(Nodes), global, register_name, [after_all, P]),
            [tb_lib:until_equal(P, fun() -> holder(B, after_all) end) || B <- Nodes],
            ok = rpc:call(hd(Nodes), global, unregister_name, [after_all])
        end)
    end).

cycle(I, [B | _] = Nodes) ->
    T = tb_lib:daemon(tc, #{config => seat_config(seat)}),
    N = tb_lib:node_of(T),
    [tb_lib:link(Node, N) || Node <- Nodes],
    until_holder(Nodes, seats, fun(P) -> node(P) =:= N end),
    case I rem 2 of
        0 -> tb_lib:stop(T);
        1 -> tb_lib:kill(T)
    end,
    tb_lib:until_equal(undefined, fun() -> holder(B, seats) end).

locks(Node) ->
    rpc:call(Node, ets, tab2list, [global_locks]).

watch_downs(Node) ->
    Self = self(),
    spawn(Node, fun() ->
        ok = net_kernel:monitor_nodes(true),
        Self ! {watching, self()},
        watch_loop([])
    end),
    receive
        {watching, Pid} -> Pid
    end.

watch_loop(Downs) ->
    receive
        {nodedown, Node} -> watch_loop([Node | Downs]);
        {downs, From} ->
            From ! {downs, self(), Downs},
            watch_loop(Downs);
        _ -> watch_loop(Downs)
    end.

downs(Pid, Nodes) ->
    Pid ! {downs, self()},
    receive
        {downs, Pid, Downs} -> [D || D <- Downs, lists:member(D, Nodes)]
    end.
