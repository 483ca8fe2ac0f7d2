%% tb_split_tests - a cluster of processes when the network falls apart: hosts
%% in network namespaces, with wires that are cut and joined again.
-module(tb_split_tests).
-include_lib("eunit/include/eunit.hrl").

-define(TIMEOUT, 600).
%% net_ticktime in seconds, of the VM that asks as well
-define(TICK, 4).

-spec split_test_() -> tuple().
split_test_() ->
    case tb_netns:available() of
        true ->
            {setup, fun setup/0, fun tb_netns:leave/1, [
                {timeout, ?TIMEOUT, {Title, Case}}
             || {Title, Case} <- tb_lib:chosen(cases())
            ]};
        {false, Why} ->
            io:format(user, "tb_split_tests: ~s: nothing was tested~n", [Why]),
            {setup, fun() -> ok end, fun(_) -> ok end, []}
    end.

cases() ->
    [
        {"a tiebeam node on each side", fun each_side/0},
        {"a tiebeam node that sees both sides", fun both_sides/0}
    ].

%% ------------------------------------------------------------- the pieces

%% This VM ticks as often as the others expect it.
setup() ->
    World = tb_netns:join(5),
    _ = net_kernel:set_net_ticktime(?TICK, 0),
    World.

%% All wires between the hosts.
with_wires(Fun) ->
    Wires = maps:from_list([{{A, B}, tb_netns:wire(A, B)} || A <- lists:seq(1, 5), B <- lists:seq(A + 1, 5)]),
    try
        Fun(Wires)
    after
        [tb_netns:unwire(W) || W <- maps:values(Wires)]
    end.

%% Hosts 1 and 2 on one side, 3 and 4 on the other.
cut(Wires) ->
    [ok = tb_netns:set(maps:get(Pair, Wires), both, 0, 0, 100) || Pair <- [{1, 3}, {1, 4}, {2, 3}, {2, 4}]],
    ok.

heal(Wires) ->
    [ok = tb_netns:set(W, both, 0, 0, 0) || W <- maps:values(Wires)],
    ok.

%% Asked over hidden connections: this VM is no part of the cluster.
rpc(Node, M, F, A) ->
    true = net_kernel:hidden_connect_node(Node),
    rpc:call(Node, M, F, A, 60000).

beam(I) ->
    Args = ["-kernel", "net_ticktime", integer_to_list(?TICK)],
    tb_lib:beam(list_to_atom("b" ++ integer_to_list(I)), tb_netns:options(I, #{args => Args})).

tiebeam(I) ->
    Name = list_to_atom("t" ++ integer_to_list(I)),
    Args = ["-kernel", "net_ticktime", integer_to_list(?TICK)],
    Options = #{args => Args, config => [{tiebeam, [{discovery, []}]}]},
    tb_lib:daemon(Name, tb_netns:options(I, Options)).

%% Four BEAM nodes with a member each, and tiebeam nodes on these hosts.
with_cluster(Hosts, Fun) ->
    with_wires(fun(Wires) ->
        Beams = [beam(I) || I <- lists:seq(1, 4)],
        Tiebeams = [tiebeam(I) || I <- Hosts],
        Bs = [tb_lib:node_of(B) || B <- Beams],
        Ts = [tb_lib:node_of(T) || T <- Tiebeams],
        try
            link_all(Bs, Ts),
            Pids = [tb_member_start(B) || B <- Bs],
            until_plists(Bs, Pids, Pids),
            until_holder(Bs, Bs),
            Fun(Wires, Bs, Ts, Pids)
        after
            [tb_lib:end_beam(B) || B <- Beams],
            [tb_lib:stop(T) || T <- Tiebeams]
        end
    end).

link_all(Bs, Ts) ->
    [tb_lib:until(fun() -> true =:= rpc(A, net_kernel, connect_node, [B]) end, 60000) || A <- Bs, B <- Bs, A < B],
    [tb_lib:until(fun() -> true =:= rpc(A, net_kernel, connect_node, [T]) end, 60000) || A <- Bs, T <- Ts],
    [tb_lib:until(fun() -> ok =:= tb_call(T, tiebeam, {connect, U}) end, 60000) || T <- Ts, U <- Ts, T < U].

tb_call(T, Name, Request) ->
    true = net_kernel:hidden_connect_node(T),
    gen_server:call({Name, T}, Request, 60000).

tb_member_start(Node) ->
    {ok, Pid} = rpc(Node, tiebeam_cluster, start, [tb_member, #{}, []]),
    Pid.

%% The members on these nodes know these.
until_plists(Nodes, Pids, Expected) ->
    Sorted = lists:sort(Expected),
    [
        tb_lib:until_equal(Sorted, fun() -> lists:sort(rpc(N, tiebeam_cluster, mod_plist, [tb_member, P])) end, 60000)
     || P <- Pids, N <- [node(P)], lists:member(N, Nodes)
    ].

%% These nodes see one holder, on one of those: it, and how long it took.
until_holder(Nodes, On) ->
    Start = erlang:monotonic_time(millisecond),
    tb_lib:until(
        fun() ->
            case holders(Nodes) of
                [Pid] when is_pid(Pid) -> lists:member(node(Pid), On);
                _ -> false
            end
        end,
        60000
    ),
    {hd(holders(Nodes)), erlang:monotonic_time(millisecond) - Start}.

holders(Nodes) ->
    lists:usort([rpc(N, global, whereis_name, [tb_member]) || N <- Nodes]).

alive(Pids) ->
    lists:all(fun(P) -> rpc(node(P), erlang, is_process_alive, [P]) end, Pids).

%% The last leader that it was told of.
leader_told(Pid) ->
    case lists:reverse([L || {leader, L} <- rpc(node(Pid), tb_member, events, [Pid])]) of
        [Last | _] -> Last;
        [] -> none
    end.

%% ------------------------------------------------------------------- cases

%% Each side has its members and a leader of its own; in the end there is one,
%% and all processes are those that there were.
each_side() ->
    with_cluster([1, 3], fun split_and_heal/4).

%% The tiebeam node does not mix up what each side sees.
both_sides() ->
    with_cluster([5], fun split_and_heal/4).

split_and_heal(Wires, [B1, B2, B3, B4] = Bs, Ts, [P1, P2, P3, P4] = Pids) ->
    cut(Wires),
    {Left, _} = until_holder([B1, B2], [B1, B2]),
    {Right, Ms} = until_holder([B3, B4], [B3, B4]),
    until_plists([B1, B2], [P1, P2], [P1, P2]),
    until_plists([B3, B4], [P3, P4], [P3, P4]),
    [tb_lib:until(fun() -> leader_told(P) =:= Right end) || P <- [P3, P4]],
    [tb_lib:until(fun() -> leader_told(P) =:= Left end) || P <- [P1, P2]],
    %% each side has an answer of its own
    case Ts of
        [Only] ->
            tb_lib:until_equal([Left, Right], fun() ->
                [rpc(B, gen_server, call, [{process_cluster, Only}, {leader, tb_member}]) || B <- [B1, B4]]
            end);
        [_, _] ->
            tb_lib:until_equal([Left, Right], fun() -> [tb_call(X, process_cluster, {leader, tb_member}) || X <- Ts] end)
    end,
    ?assertEqual([Left], holders([B1, B2])),
    heal(Wires),
    link_all(Bs, Ts),
    {One, Healed} = until_holder(Bs, Bs),
    ?assert(lists:member(One, [Left, Right])),
    until_plists(Bs, Pids, Pids),
    [tb_lib:until_equal(One, fun() -> tb_call(T, process_cluster, {leader, tb_member}) end) || T <- Ts],
    [tb_lib:until(fun() -> leader_told(P) =:= One end) || P <- Pids],
    ?assert(alive(Pids)),
    [tb_lib:until_equal([], fun() -> rpc(B, ets, tab2list, [global_locks]) end) || B <- Bs],
    io:format(user, "  the other side's own leader ~w ms after the cut; one leader ~w ms after they are linked~n", [Ms, Healed]).
