%% tb_cluster_tests - clusters of processes over BEAM and tiebeam nodes: who is
%% in, who is told of it, and who leads when the leader has gone.
-module(tb_cluster_tests).
-include_lib("eunit/include/eunit.hrl").

-export([helper/0, told/1, call_loop/3]).

-define(TIMEOUT, 300).

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
        {"a leader, and the next one", fun leaders/0}
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
    after 10000 -> timeout
    end.

ask(N, Request) ->
    gen_server:call({process_cluster, N}, Request, 20000).

with_tiebeam(Name, Fun) ->
    with_tiebeam(Name, [], Fun).

with_tiebeam(Name, Section, Fun) ->
    Config = [{tiebeam, [{discovery, []}] ++ Section}],
    tb_lib:with_daemon(Name, #{config => Config}, fun(D, N) ->
        pong = net_adm:ping(N),
        Fun(D, N)
    end).

%% As many BEAM nodes, connected to each other and to the tiebeam node.
with_beams(Count, N, Fun) ->
    Beams = [tb_lib:beam(list_to_atom("beam" ++ integer_to_list(I))) || I <- lists:seq(1, Count)],
    Nodes = [tb_lib:node_of(B) || B <- Beams],
    try
        [true = rpc:call(A, net_kernel, connect_node, [B]) || A <- Nodes, B <- Nodes, A < B],
        [true = rpc:call(A, net_kernel, connect_node, [N]) || A <- Nodes],
        [ok = rpc:call(A, global, sync, []) || A <- Nodes],
        Fun(Beams, Nodes)
    after
        [tb_lib:end_beam(B) || B <- Beams],
        tb_lib:until(fun() -> Nodes -- nodes() =:= Nodes end)
    end.

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
            ?assertEqual(Last, ask(N, {leader, lead})),
            [Victim] = [B || B <- Beams, tb_lib:node_of(B) =:= node(Last)],
            Left = Nodes -- [node(Last)],
            tb_lib:signal(Victim, "KILL"),
            Killed = until_holder(Left, lead, fun(P) -> lists:member(P, More) end),
            io:format(user, "  taken over after ~w ms; of a killed node after ~w ms~n", [Times, Killed]),
            [?assert(T =< 500) || T <- [Killed | Times]]
        end)
    end).

kill_leader(N, Nodes, Members) ->
    Leader = ask(N, {leader, lead}),
    true = lists:member(Leader, Members),
    exit(Leader, kill),
    until_holder(Nodes, lead, fun(P) -> P =/= Leader end).

-spec call_loop(term(), pid(), non_neg_integer()) -> no_return().
call_loop(_, _, _) ->
    exit(later).
