%% tb_partition_tests - a supervisor when the network falls apart: hosts in
%% network namespaces, with wires that are cut and joined again.
%%
%% What is done at random, with `make chaos` at more length:
%%   TB_ROUNDS         cuts, each of them healed
%%   TB_SPLIT_HOSTS    hosts of children, 4 or 5
%%   TB_SPLIT_CHILDREN how many these are
%%   TB_SEED           what is random, as it was
-module(tb_partition_tests).
-include_lib("eunit/include/eunit.hrl").

-define(TIMEOUT, 600).
-define(LONG, 1800).
-define(NAME, jobs).
-define(SLOW, 60000).
%% net_ticktime in seconds
-define(TICK, 4).

-spec partition_test_() -> tuple().
partition_test_() ->
    case tb_netns:available() of
        true ->
            {setup, fun setup/0, fun tb_netns:leave/1, [
                {timeout, timeout_of(Title), {Title, Case}}
             || {Title, Case} <- tb_lib:chosen(cases())
            ]};
        {false, Why} ->
            io:format(user, "tb_partition_tests: ~s: nothing was tested~n", [Why]),
            {setup, fun() -> ok end, fun(_) -> ok end, []}
    end.

timeout_of("links" ++ _) -> ?LONG;
timeout_of(_) -> ?TIMEOUT.

%% This VM ticks as often as the others expect it.
setup() ->
    World = tb_netns:join(5),
    _ = net_kernel:set_net_ticktime(?TICK, 0),
    World.

cases() ->
    [
        {"one link is cut: nothing is started twice", fun one_link/0},
        {"what was asked for in vain is not done later", fun in_vain/0},
        {"a tiebeam node alone, till all seem to be down", fun isolated/0},
        {"removed while the tiebeam node that decides was alone", fun memory/0},
        {"a tiebeam node on each side: all children on both, then once", fun two_sides/0},
        {"a stand-in stays until the original is in two places", fun stands_in/0},
        {"two instances until one is in two places", fun instances/0},
        {"a move does not end before the child is in two places", fun move_unsettled/0},
        {"removed and added on both sides", fun changes/0},
        {"stopped before, and restarted on the side without it", fun restarted/0},
        {"what was asked for outlasts restarts on the other side", fun asked_for/0},
        {"what was asked for, where both sides stand in", fun asked_of_stand_ins/0},
        {"a transient child has ended on one side", fun done/0},
        {"a host that was forgotten comes back", fun forgotten/0},
        {"a host that others see is not forgotten", fun seen/0},
        {"a host is back for another tiebeam node", fun back_for_another/0},
        {"each side forgets the other", fun both_forgotten/0},
        {"closed while a host was cut off", fun closed/0},
        {"links are cut and joined at random", fun at_random/0}
    ].

%% ------------------------------------------------------------- the network

with_wires(Fun) ->
    Wires = maps:from_list([{{A, B}, tb_netns:wire(A, B)} || A <- lists:seq(1, 5), B <- lists:seq(A + 1, 5)]),
    try
        Fun(Wires)
    after
        [tb_netns:unwire(W) || W <- maps:values(Wires)]
    end.

cut(Wires, Pairs) ->
    [ok = tb_netns:set(maps:get(Pair, Wires), both, 0, 0, 100) || Pair <- Pairs],
    ok.

heal(Wires) ->
    [ok = tb_netns:set(W, both, 0, 0, 0) || W <- maps:values(Wires)],
    ok.

%% Hosts 1 and 2 on one side, 3 and 4 on the other.
sides() ->
    [{1, 3}, {1, 4}, {2, 3}, {2, 4}].

%% Asked over hidden connections, and over links that no wire has a part in.
rpc(Node, M, F, A) ->
    true = net_kernel:hidden_connect_node(Node),
    rpc:call(Node, M, F, A, ?SLOW).

ask(T, Request) ->
    true = net_kernel:hidden_connect_node(T),
    try
        gen_server:call({?NAME, T}, Request, ?SLOW)
    catch
        exit:{Reason, _} -> {exit, Reason}
    end.

%% A node whose release does not contain the module.
beam(I) ->
    Args = ["-kernel", "net_ticktime", integer_to_list(?TICK), "logger_level", "none"],
    Beam = tb_lib:beam(list_to_atom("b" ++ integer_to_list(I)), tb_netns:options(I, #{args => Args})),
    Node = tb_lib:node_of(Beam),
    {module, _} = rpc(Node, code, ensure_loaded, [tb_kid]),
    true = rpc(Node, code, del_path, [filename:dirname(code:which(?MODULE))]),
    Beam.

tiebeam(I, Options) ->
    Name = list_to_atom("t" ++ integer_to_list(I)),
    Config = [{tiebeam, [{discovery, []}, {supervisors, [{?NAME, [{hosts, all}, {max_restarts, 1000} | Options]}]}]}],
    Args = ["-kernel", "net_ticktime", integer_to_list(?TICK)],
    tb_lib:daemon(Name, tb_netns:options(I, #{args => Args, config => Config})).

%% Four hosts of children, and tiebeam nodes on these hosts of the network.
with_cluster(Places, Fun) ->
    with_cluster(4, Places, [], Fun).

with_cluster(Hosts, Places, Fun) ->
    with_cluster(Hosts, Places, [], Fun).

with_cluster(Hosts, Places, Options, Fun) ->
    with_wires(fun(Wires) ->
        Beams = [beam(I) || I <- lists:seq(1, Hosts)],
        Tiebeams = [tiebeam(I, Options) || I <- Places],
        Bs = [tb_lib:node_of(B) || B <- Beams],
        Ts = [tb_lib:node_of(T) || T <- Tiebeams],
        try
            link_all(Bs, Ts),
            [until_hosts(T, Bs) || T <- Ts],
            Fun(Wires, Bs, Ts)
        after
            os:getenv("TB_SHOW") =/= false andalso
                [io:format(user, "~s~n", [tb_lib:output(T)]) || T <- Tiebeams],
            [tb_lib:end_beam(B) || B <- Beams],
            [tb_lib:stop(T) || T <- Tiebeams]
        end
    end).

link_all(Bs, Ts) ->
    [tb_lib:until(fun() -> true =:= rpc(A, net_kernel, connect_node, [B]) end, ?SLOW) || A <- Bs, B <- Bs, A < B],
    [tb_lib:until(fun() -> true =:= rpc(A, net_kernel, connect_node, [T]) end, ?SLOW) || A <- Bs, T <- Ts],
    [tb_lib:until(fun() -> ok =:= connect(T, U) end, ?SLOW) || T <- Ts, U <- Ts, T < U],
    ok.

connect(T, U) ->
    true = net_kernel:hidden_connect_node(T),
    gen_server:call({tiebeam, T}, {connect, U}, ?SLOW).

until_hosts(T, Bs) ->
    tb_lib:until_equal(Bs, fun() -> ask(T, hosts) end, ?SLOW).

%% -------------------------------------------------------------- children

named(Id) ->
    #{id => Id, start => {tb_kid, start_link, [Id]}}.

dynamic(Arg) ->
    {{tb_kid, start_link, [Arg]}, permanent, 5000, worker, [tb_kid]}.

%% 60 dynamic ones and 40 that have an id; all that they are known by.
start_all(T) ->
    start_all(T, 60, 40).

start_all(T, NDynamic, NNamed) ->
    Dynamic = [{d, N} || N <- lists:seq(1, NDynamic)],
    Named = [{n, N} || N <- lists:seq(1, NNamed)],
    [{ok, _} = R || R <- ask(T, {start_children, [dynamic(A) || A <- Dynamic]})],
    [{ok, _} = ask(T, {start_child, named(A)}) || A <- Named],
    lists:sort(Dynamic ++ Named).

%% What these hosts have in their tables: [{Key, Arg, State}].
tables(Bs) ->
    [
        {Key, Arg, State}
     || B <- Bs,
        {Key, _, {_, _, {_, _, [Arg]}, _, _, _, _, _}, State} <- rpc(B, gen_server, call, [tiebeam_host_jobs, table])
    ].

%% Sorted: the arguments of all that run, the pids in the tables, and those of
%% all processes that are children, whoever knows of them.
running(Bs) ->
    Table = [{Arg, Pid} || {_, Arg, {running, Pid}} <- tables(Bs)],
    Kids = lists:sort(lists:append([rpc(B, tb_kid, kids, []) || B <- Bs])),
    {lists:sort([A || {A, _} <- Table]), lists:sort([P || {_, P} <- Table]), Kids}.

%% Each of these runs once on these hosts, nothing else does, and the tiebeam
%% nodes know the same.
all_run(Ts, Bs, Args) ->
    {Running, Pids, Kids} = running(Bs),
    Running =:= Args andalso Pids =:= Kids andalso
        lists:all(fun(T) -> known(ask(T, which_children)) =:= Pids end, Ts).

known(List) when is_list(List) ->
    lists:sort([P || {_, P, _, _} <- List, P =/= undefined]);
known(Other) ->
    Other.

%% How long that took, in milliseconds.
until_all_run(Ts, Bs, Args, Ms) ->
    Start = erlang:monotonic_time(millisecond),
    try
        tb_lib:until(fun() -> all_run(Ts, Bs, Args) end, Ms)
    catch
        error:too_late -> error({Ms, differences(Ts, Bs, Args)})
    end,
    erlang:monotonic_time(millisecond) - Start.

differences(Ts, Bs, Args) ->
    {Running, Pids, Kids} = running(Bs),
    [
        {lost, Args -- Running},
        {too_many, Running -- Args},
        {in_no_table, Kids -- Pids},
        {entries, [E || {_, Arg, _} = E <- tables(Bs), lists:member(Arg, (Running -- Args) ++ (Args -- Running))]},
        {states, [E || {_, _, State} = E <- tables(Bs), element(1, {State}) =/= stopped, element(1, State) =/= running]}
        | [
            {T, length_of(ask(T, which_children)), unknown, Pids -- known_list(T), gone, known_list(T) -- Pids,
                owner, catch element(1, {ask(T, info)})}
         || T <- Ts
        ]
    ].

known_list(T) ->
    case known(ask(T, which_children)) of
        List when is_list(List) -> List;
        _ -> []
    end.

length_of(List) when is_list(List) -> length(List);
length_of(Other) -> Other.

%% Holds all the time.
always(Condition, Ms) ->
    Deadline = erlang:monotonic_time(millisecond) + Ms,
    tb_lib:until(
        fun() ->
            ?assert(Condition()),
            erlang:monotonic_time(millisecond) >= Deadline
        end,
        2 * Ms + ?SLOW
    ).

%% ------------------------------------------------------------------- cases

%% What is there when it is back ends, also what had ended already; what starts there then
%% stays, though one takes its time to end.
closed() ->
    with_cluster(2, [5], fun(Wires, [B1, B2] = Bs, [T] = Ts) ->
        Args = start_all(T),
        _ = until_all_run(Ts, Bs, Args, ?SLOW),
        Slow = [{{tb_kid, start, [stubborn]}, permanent, 3000 + N, worker, [tb_kid]} || N <- lists:seq(1, 20)],
        ?assert(lists:member(B1, [node(P) || {ok, P} <- ask(T, {start_children, Slow})])),
        Ends = pid_of([B1], hd([A || A <- kids_of([B1]), A =/= stubborn])),
        cut(Wires, [{1, 2}, {1, 5}]),
        tb_lib:until_equal([B2], fun() -> ask(T, hosts) end, ?TICK * 1250 + ?SLOW),
        ok = gen_server:stop({?NAME, T}, shutdown, ?SLOW),
        tb_lib:until_equal([B2], fun() -> ask(T, hosts) end, ?SLOW),
        exit(Ends, kill),
        tb_lib:until(fun() -> [x || {_, _, {exited, _, _}} <- tables([B1])] =/= [] end),
        heal(Wires),
        link_all(Bs, Ts),
        New = [{d, {new, N}} || N <- lists:seq(1, 20)],
        [{ok, _} = R || R <- ask(T, {start_children, [dynamic(A) || A <- New]})],
        until_hosts(T, Bs),
        _ = until_all_run(Ts, Bs, New, ?SLOW),
        always(fun() -> all_run(Ts, Bs, New) end, 1000)
    end).

%% The other hosts see the one that tiebeam does not.
one_link() ->
    with_cluster([5], fun(Wires, [B1 | _] = Bs, [T]) ->
        Args = start_all(T),
        _ = until_all_run([T], Bs, Args, ?SLOW),
        {_, Pids, _} = running(Bs),
        cut(Wires, [{1, 5}]),
        Same = fun() ->
            {Running, Now, Kids} = running(Bs),
            {Running, Now, Kids} =:= {Args, Pids, Pids}
        end,
        tb_lib:until(fun() -> ?assert(Same()), not lists:member(T, rpc(B1, erlang, nodes, [hidden])) end, ?SLOW),
        always(Same, 3 * ?TICK * 1000),
        heal(Wires),
        link_all(Bs, [T]),
        _ = until_all_run([T], Bs, Args, ?SLOW),
        ?assertMatch({Args, Pids, Pids}, running(Bs)),
        {ok, New} = ask(T, {start_child, dynamic(new)}),
        ?assert(lists:member(node(New), Bs))
    end).

%% The tiebeam node that decides is parted from a host that the others see; it has not noticed
%% when it is asked to stop a child there. Another one decides meanwhile.
in_vain() ->
    with_cluster(2, [3, 4], fun(Wires, [B1 | _] = Bs, [T3, T4] = Ts) ->
        Args = start_all(T3),
        _ = until_all_run(Ts, Bs, Args, ?SLOW),
        ?assertMatch(#{owning := true}, ask(T3, info)),
        [{Id, Pid} | _] = [{I, P} || {I, P, _, _} <- ask(T3, which_children), I =/= undefined, node(P) =:= B1],
        cut(Wires, [{1, 3}]),
        ?assertEqual({error, {not_attached, [B1]}}, ask(T3, {terminate_child, Id})),
        ?assertMatch(#{owning := true}, ask(T4, info)),
        heal(Wires),
        link_all(Bs, Ts),
        tb_lib:until(fun() -> maps:get(owning, ask(T3, info)) end, ?SLOW),
        %% behind what it has sent to that host
        tb_lib:until(fun() -> {ok, P} = ask(T3, {start_child, dynamic(make_ref())}), node(P) =:= B1 end),
        always(fun() -> pid(T4, Id) =:= Pid end, 2000)
    end).

isolated() ->
    with_cluster(2, [3], fun(Wires, Bs, [T] = Ts) ->
        Args = start_all(T),
        _ = until_all_run(Ts, Bs, Args, ?SLOW),
        cut(Wires, [{1, 3}, {2, 3}]),
        tb_lib:until_equal([down], fun() -> states(T) end, ?SLOW),
        _ = joined(Wires, Bs, Ts, Args, ?SLOW)
    end).

states(T) ->
    lists:usort([S || #{state := S} <- maps:values(maps:get(hosts, ask(T, info)))]).

%% It sees a host as it was, one that was started anew, and another tiebeam node that has
%% dealt with that.
memory() ->
    with_cluster(2, [3, 4], fun(Wires, [B1, B2] = Bs, [T3, T4] = Ts) ->
        Args = start_all(T3),
        _ = until_all_run(Ts, Bs, Args, ?SLOW),
        X = hd([A || {d, _} = A <- kids_of([B1])]),
        cut(Wires, [{1, 3}, {2, 3}, {3, 4}]),
        tb_lib:until(fun() -> maps:get(owning, ask(T4, info)) end, ?SLOW),
        stopped(B1),
        _ = until_all_run([T4], [B2], Args, ?SLOW),
        New = beam(1),
        try
            link_all(Bs, [T4]),
            until_hosts(T4, Bs),
            tb_lib:until(fun() -> maps:get(safe, ask(T4, info)) end, ?SLOW),
            ok = ask(T4, {terminate_child, pid_of(Bs, X)}),
            _ = joined(Wires, Bs, Ts, Args -- [X], ?SLOW)
        after
            tb_lib:end_beam(New)
        end
    end).

two_sides() ->
    with_cluster([1, 3], fun(Wires, Bs, [T1, T3] = Ts) ->
        Args = start_all(T1),
        _ = until_all_run(Ts, Bs, Args, ?SLOW),
        Ms = split(Wires, Bs, Ts, Args),
        Healed = joined(Wires, Bs, Ts, Args, ?SLOW),
        {ok, _} = ask(T3, {start_child, named(new)}),
        _ = until_all_run(Ts, Bs, lists:sort([new | Args]), ?SLOW),
        io:format(user, "  all on each side ~w ms after the cut, once ~w ms after they are linked~n", [Ms, Healed])
    end).

%% Each side runs the whole set.
split(Wires, [B1, B2, B3, B4], [T1, T3], Args) ->
    Start = erlang:monotonic_time(millisecond),
    cut(Wires, sides()),
    _ = until_all_run([T1], [B1, B2], Args, ?TICK * 1250 + ?SLOW),
    _ = until_all_run([T3], [B3, B4], Args, ?SLOW),
    erlang:monotonic_time(millisecond) - Start.

joined(Wires, Bs, Ts, Args, Most) ->
    heal(Wires),
    link_all(Bs, Ts),
    Ms = until_all_run(Ts, Bs, Args, Most),
    always(fun() -> all_run(Ts, Bs, Args) end, 3000),
    Ms.

pid(T, Id) when is_atom(T) ->
    hd([P || {I, P, _, _} <- ask(T, which_children), I =:= Id]).

%% The pid of a dynamic one on these hosts.
pid_of(Bs, Arg) ->
    hd([P || {_, A, {running, P}} <- tables(Bs), A =:= Arg]).

%% --------------------------------------------------------- two places first

kids_of(Bs) ->
    {Running, _, _} = running(Bs),
    Running.

until_kids(Args, Bs) ->
    tb_lib:until_equal(Args, fun() -> kids_of(Bs) end, ?SLOW).

%% One host is cut off, and tiebeam sees it again before the other host does: what it
%% has is in one place.
stands_in() ->
    with_cluster(2, [3], [{auto_balance, false}], fun(Wires, [B1, B2] = Bs, [T] = Ts) ->
        Args = start_all(T),
        _ = until_all_run(Ts, Bs, Args, ?SLOW),
        Here = kids_of([B1]),
        There = kids_of([B2]),
        ?assert(Here =/= [] andalso There =/= []),
        alone(Wires, T, Bs, Args),
        both_there(Wires, T, Bs),
        Both = fun() -> {kids_of([B1]), kids_of([B2])} =:= {Args, There} end,
        always(Both, 3000),
        %% now it has copies there
        _ = joined(Wires, Bs, Ts, Args, ?SLOW),
        ?assertEqual({Here, There}, {kids_of([B1]), kids_of([B2])}),
        %% and once more, but it is lost before that, with all that tiebeam knows
        alone(Wires, T, Bs, Args),
        both_there(Wires, T, Bs),
        always(Both, 1000),
        stopped(B2),
        tb_lib:until_equal([B1], fun() -> ask(T, hosts) end, ?SLOW),
        _ = until_all_run(Ts, [B1], Args, ?SLOW)
    end).

%% The second host is cut off, until its children run on the first one.
alone(Wires, T, [B1, B2], Args) ->
    cut(Wires, [{1, 2}, {2, 3}]),
    tb_lib:until_equal([B1], fun() -> ask(T, hosts) end, ?SLOW),
    until_kids(Args, [B1]),
    %% neither has a connection of before
    tb_lib:until_equal([], fun() -> seen_by(B1, T) end, ?SLOW),
    tb_lib:until(fun() -> not lists:member(B1, rpc(B2, erlang, nodes, [])) end, ?SLOW).

seen_by(B, T) ->
    maps:get(sees, maps:get(B, maps:get(hosts, ask(T, info)))).

%% The second host is back for tiebeam, not for the first one.
both_there(Wires, T, [_, B2] = Bs) ->
    ok = tb_netns:set(maps:get({2, 3}, Wires), both, 0, 0, 0),
    tb_lib:until(fun() -> true =:= rpc(B2, net_kernel, connect_node, [T]) end, ?SLOW),
    until_hosts(T, Bs).

%% Its node ends as if its machine did.
stopped(B) ->
    _ = rpc:cast(B, erlang, halt, [137, [{flush, false}]]),
    tb_lib:until(fun() -> pang =:= net_adm:ping(B) end, ?SLOW).

%% Both sides were asked for the same ids. Then all see each other but the hosts.
instances() ->
    with_cluster(2, [3, 4], [{auto_balance, false}], fun(Wires, [B1, B2] = Bs, [T3, T4] = Ts) ->
        Ids = lists:seq(1, 10),
        cut(Wires, [{1, 2}, {1, 4}, {2, 3}, {3, 4}]),
        tb_lib:until_equal([B1], fun() -> ask(T3, hosts) end, ?SLOW),
        tb_lib:until_equal([B2], fun() -> ask(T4, hosts) end, ?SLOW),
        [{ok, _} = ask(T, {start_child, named(N)}) || T <- Ts, N <- Ids],
        [ok = tb_netns:set(maps:get(W, Wires), both, 0, 0, 0) || W <- [{1, 4}, {2, 3}, {3, 4}]],
        [tb_lib:until(fun() -> true =:= rpc(B, net_kernel, connect_node, [T]) end, ?SLOW) || B <- Bs, T <- Ts],
        tb_lib:until_equal([Bs, Bs], fun() -> [set(T) || T <- Ts] end, ?SLOW),
        [until_hosts(T, Bs) || T <- Ts],
        always(fun() -> {kids_of([B1]), kids_of([B2])} =:= {Ids, Ids} end, 3000),
        Ms = joined(Wires, Bs, Ts, Ids, ?SLOW),
        io:format(user, "  once ~w ms after they are linked~n", [Ms])
    end).

%% The hosts do not see each other: what has moved is in one place, and stays in the
%% other for longer than any request waits.
move_unsettled() ->
    with_cluster(2, [3], [{auto_balance, false}], fun(Wires, [B1, B2] = Bs, [T] = Ts) ->
        Args = start_all(T, 10, 10),
        _ = until_all_run(Ts, Bs, Args, ?SLOW),
        Left = lists:sort([A || {_, A, _} <- tables([B1])]),
        ?assert(Left =/= []),
        cut(Wires, [{1, 2}]),
        tb_lib:until(fun() -> [] =:= rpc(B1, erlang, nodes, []) end, ?SLOW),
        ok = ask(T, {drain, B1}),
        until_kids(Args, [B2]),
        always(fun() -> lists:sort([A || {_, A, _} <- tables([B1])]) =:= Left end, 17000),
        ok = ask(T, {undrain, B1}),
        stopped(B2),
        _ = until_all_run(Ts, [B1], Args, ?SLOW)
    end).

%% Where each was before does not matter: removed is removed.
changes() ->
    with_cluster([1, 3], fun(Wires, [B1, B2, B3, B4] = Bs, [T1, T3] = Ts) ->
        Args = start_all(T1),
        _ = until_all_run(Ts, Bs, Args, ?SLOW),
        _ = split(Wires, Bs, Ts, Args),
        Left = [B1, B2],
        Right = [B3, B4],
        %% 1..10 at the left, 11..20 at the right, 21..25 on both
        [ok = ask(T1, {terminate_child, pid_of(Left, {d, N})}) || N <- lists:seq(1, 10) ++ lists:seq(21, 25)],
        [ok = ask(T3, {terminate_child, pid_of(Right, {d, N})}) || N <- lists:seq(11, 25)],
        [remove(T1, {n, N}) || N <- lists:seq(1, 5) ++ lists:seq(11, 15)],
        [remove(T3, {n, N}) || N <- lists:seq(6, 15)],
        %% stopped only
        [ok = ask(T1, {terminate_child, {n, N}}) || N <- lists:seq(16, 20)],
        [ok = ask(T3, {terminate_child, {n, N}}) || N <- lists:seq(21, 25)],
        [{ok, _} = ask(T1, {start_child, dynamic({l, N})}) || N <- lists:seq(1, 10)],
        [{ok, _} = ask(T3, {start_child, dynamic({r, N})}) || N <- lists:seq(1, 10)],
        [{ok, _} = ask(T1, {start_child, named({nl, N})}) || N <- lists:seq(1, 5)],
        [{ok, _} = ask(T3, {start_child, named({nr, N})}) || N <- lists:seq(1, 5)],
        %% one id on both sides
        [{ok, _} = ask(T, {start_child, named({both, N})}) || T <- Ts, N <- lists:seq(1, 5)],
        %% removed, and added anew under the same id
        [{ok, _} = ask(T1, {start_child, named({n, N})}) || N <- [1, 2]],
        Expected = lists:sort(
            [{d, N} || N <- lists:seq(26, 60)] ++ [{n, N} || N <- [1, 2 | lists:seq(26, 40)]] ++
                [{l, N} || N <- lists:seq(1, 10)] ++ [{r, N} || N <- lists:seq(1, 10)] ++
                [{K, N} || K <- [nl, nr, both], N <- lists:seq(1, 5)]
        ),
        Ms = joined(Wires, Bs, Ts, Expected, ?SLOW),
        Stopped = [{n, N} || N <- lists:seq(16, 25)],
        [tb_lib:until_equal(Stopped, fun() -> lists:sort([I || {I, undefined, _, _} <- ask(T, which_children)]) end) || T <- Ts],
        tb_lib:until_equal(Stopped, fun() -> lists:sort([A || {_, A, stopped} <- tables(Bs)]) end),
        [?assertEqual(pid(T1, I), pid(T3, I)) || I <- [{both, 1}, {n, 1}]],
        io:format(user, "  as it shall be ~w ms after they are linked~n", [Ms])
    end).

%% What one side was asked for is not undone, be it that the host of the child is on the
%% other one; what nobody asked for is as it was.
restarted() ->
    with_cluster(4, [1, 3], fun(Wires, [B1, B2 | _] = Bs, [T1, T3] = Ts) ->
        All = start_all(T1, 10, 20),
        _ = until_all_run(Ts, Bs, All, ?SLOW),
        Stopped = [{n, N} || N <- lists:seq(1, 12)],
        [ok = ask(T1, {terminate_child, I}) || I <- Stopped],
        Args = All -- Stopped,
        _ = until_all_run(Ts, Bs, Args, ?SLOW),
        At = maps:from_list([{I, T} || {T, Hosts} <- [{T3, [B1, B2]}, {T1, Bs -- [B1, B2]}], I <- kept_on(Hosts)]),
        ?assertEqual(Stopped, lists:sort(maps:keys(At))),
        _ = split(Wires, Bs, Ts, Args),
        {Asked, Left} = lists:split(8, Stopped),
        [{ok, _} = ask(maps:get(I, At), {restart_child, I}) || I <- Asked],
        %% and two of them once more, to be stopped
        {Again, Run} = lists:split(2, Asked),
        [ok = ask(maps:get(I, At), {terminate_child, I}) || I <- Again],
        Ms = joined(Wires, Bs, Ts, lists:sort(Run ++ Args), ?SLOW),
        tb_lib:until_equal(Again ++ Left, fun() -> kept_on(Bs) end),
        io:format(user, "  as it shall be ~w ms after they are linked~n", [Ms])
    end).

%% Of what is asked for on the two sides that counts which was asked for more often;
%% restarts, and where the child has gone, do not count.
asked_for() ->
    with_cluster(4, [1, 3], [{auto_balance, false}], fun(Wires, [B1, B2 | Right] = Bs, [T1, T3] = Ts) ->
        All = start_all(T1, 20, 60),
        _ = until_all_run(Ts, Bs, All, ?SLOW),
        [C1, C2, C3 | _] = Moved = named_on(B1, 3),
        [S1, S2, S3, S4, R1, R2, R3, R4, R5, R6, R7, R8] = named_on(B2, 12),
        [D1, D2 | _] = [A || {_, {d, _} = A, {running, _}} <- tables([B2])],
        Before = [S1, S2, S3, S4],
        [ok = ask(T1, {terminate_child, I}) || I <- Before],
        _ = until_all_run(Ts, Bs, All -- Before, ?SLOW),
        _ = split(Wires, Bs, Ts, All -- Before),
        Crash = fun(I) -> [crash([B1, B2], I) || _ <- [1, 2, 3]] end,
        Do = fun(T, What, Is) -> [ok_of(ask(T, {What, I})) || I <- Is] end,
        %% stopped, and the other side moves it
        Do(T3, terminate_child, Moved),
        ok = ask(T1, {drain, B1}),
        tb_lib:until(fun() -> Moved -- kids_of([B2]) =:= [] end, ?SLOW),
        ok = ask(T1, {undrain, B1}),
        %% stopped before: restarted on both, and one of them stopped again
        [Do(T, restart_child, [S1, S2]) || T <- Ts],
        Do(T3, terminate_child, [S1, S2]),
        [Crash(I) || I <- [S1, S2]],
        %% restarted where its host is
        Do(T1, restart_child, [S3]),
        %% stopped here, and there, or restarted too
        Do(T3, terminate_child, [R1, R2]),
        [Crash(I) || I <- [R1, R2]],
        Do(T1, terminate_child, [R3, R4]),
        [crash(Right, I) || I <- [R3, R4], _ <- [1, 2, 3]],
        [Do(T1, What, [R5]) || What <- [terminate_child, restart_child]],
        Do(T3, terminate_child, [R5]),
        [Do(T3, What, [R6]) || What <- [terminate_child, restart_child]],
        Crash(R6),
        Do(T1, terminate_child, [R6]),
        Stands = pid_of(Right, R6),
        %% removed
        remove(T3, R7),
        ok = ask(T3, {terminate_child, pid_of(Right, D1)}),
        [Crash(I) || I <- [R7, D1]],
        [crash(Right, I) || I <- [R8, D2], _ <- [1, 2, 3]],
        remove(T1, R8),
        ok = ask(T1, {terminate_child, pid_of([B2], D2)}),
        Stopped = lists:sort([C1, C2, C3, S1, S2, S4, R1, R2, R3, R4]),
        Ms = joined(Wires, Bs, Ts, All -- (Stopped ++ [R7, R8, D1, D2]), ?SLOW),
        [tb_lib:until_equal(Stopped, fun() -> kept(T) end, ?SLOW) || T <- Ts],
        tb_lib:until_equal(Stopped, fun() -> kept_on(Bs) end, ?SLOW),
        ?assertEqual(Stands, pid(T1, R6)),
        %% and it can go on from there
        Do(T3, restart_child, Stopped),
        _ = until_all_run(Ts, Bs, All -- [R7, R8, D1, D2], ?SLOW),
        io:format(user, "  as it shall be ~w ms after they are linked~n", [Ms])
    end).

%% Their host is gone for good, and they run on both sides.
asked_of_stand_ins() ->
    with_cluster(3, [2, 3], [{auto_balance, false}], fun(Wires, [B1, B2, B3] = Bs, [T2, T3] = Ts) ->
        Jobs = [{t, N} || N <- lists:seq(1, 20)],
        [{ok, _} = ask(T2, {start_child, (named(I))#{restart => transient}}) || I <- Jobs],
        All = lists:sort(Jobs ++ start_all(T2, 10, 40)),
        _ = until_all_run(Ts, Bs, All, ?SLOW),
        [N1, N2, N3, N4] = named_on(B1, 4),
        [J1 | _] = lists:sort([A || {_, {t, _} = A, _} <- tables([B1])]),
        cut(Wires, [{1, 3}, {2, 3}]),
        until_kids(All, [B3]),
        stopped(B1),
        until_kids(All, [B2]),
        [ok = ask(T3, {terminate_child, I}) || I <- [N1, N2]],
        [ok = ask(T2, {terminate_child, I}) || I <- [N3, N4]],
        {ok, _} = ask(T2, {restart_child, N4}),
        finish([B3], T3, J1),
        [crash([B2], I) || I <- [N1, N2, J1], _ <- [1, 2, 3]],
        [crash([B3], I) || I <- [N3, N4], _ <- [1, 2, 3]],
        Left = [B2, B3],
        Stopped = [N1, N2, N3, J1],
        Ms = joined(Wires, Left, Ts, All -- Stopped, ?SLOW),
        tb_lib:until_equal(Stopped, fun() -> kept_on(Left) end, ?SLOW),
        ?assertEqual(B2, node(pid(T3, N4))),
        io:format(user, "  as it shall be ~w ms after they are linked~n", [Ms])
    end).

%% It has done what it is for, be it that the other instance has been restarted.
done() ->
    with_cluster(4, [1, 3], [{auto_balance, false}], fun(Wires, [B1, B2 | Right] = Bs, [T1, T3] = Ts) ->
        Left = [B1, B2],
        Named = [{t, N} || N <- lists:seq(1, 20)],
        Dynamic = [{x, N} || N <- lists:seq(1, 20)],
        [{ok, _} = ask(T1, {start_child, (named(I))#{restart => transient}}) || I <- Named],
        [{ok, _} = ask(T1, {start_child, setelement(2, dynamic(I), transient)}) || I <- Dynamic],
        All = lists:sort(Named ++ Dynamic),
        _ = until_all_run(Ts, Bs, All, ?SLOW),
        Here = lists:sort([A || {_, A, _} <- tables(Left)]),
        [N1, N2, N3, N4] = lists:sublist([A || {t, _} = A <- Here], 4),
        [D1, D2, D3, D4] = lists:sublist([A || {x, _} = A <- Here], 4),
        _ = split(Wires, Bs, Ts, All),
        %% originals and stand-ins, with more or fewer starts
        [finish(Hosts, T, I) || {Hosts, T, Is} <- [{Left, T1, [N1, N2, D1, D2]}, {Right, T3, [N3, N4, D3, D4]}], I <- Is],
        [crash(Right, I) || I <- [N1, D1], _ <- [1, 2, 3]],
        [crash(Left, I) || I <- [N3, D3], _ <- [1, 2, 3]],
        Done = [N1, N2, N3, N4],
        Ms = joined(Wires, Bs, Ts, All -- (Done ++ [D1, D2, D3, D4]), ?SLOW),
        tb_lib:until_equal(Done, fun() -> kept_on(Bs) end, ?SLOW),
        [?assertMatch({ok, _}, ask(T3, {restart_child, I})) || I <- Done],
        _ = until_all_run(Ts, Bs, All -- [D1, D2, D3, D4], ?SLOW),
        io:format(user, "  as it shall be ~w ms after they are linked~n", [Ms])
    end).

ok_of(ok) -> ok;
ok_of({ok, _}) -> ok.

%% Named ones that run on that host.
named_on(B, N) ->
    Named = lists:sort([A || {_, {n, _} = A, {running, _}} <- tables([B])]),
    ?assert(length(Named) >= N),
    lists:sublist(Named, N).

%% It ends, and is started again.
crash(Hosts, Arg) ->
    Pid = pid_of(Hosts, Arg),
    exit(Pid, kill),
    tb_lib:until(fun() -> [P || {_, A, {running, P}} <- tables(Hosts), A =:= Arg, P =/= Pid] =/= [] end, ?SLOW).

%% It ends by itself, for good.
finish(Hosts, T, Arg) ->
    Pid = pid_of(Hosts, Arg),
    Pid ! {exit, normal},
    tb_lib:until(fun() -> not lists:keymember(Pid, 2, ask(T, which_children)) end, ?SLOW).

%% Named ones that do not run, as that tiebeam node knows them.
kept(T) ->
    lists:sort([I || {I, undefined, _, _} <- ask(T, which_children)]).

kept_on(Bs) ->
    lists:sort([A || {_, A, stopped} <- tables(Bs)]).

remove(T, Id) ->
    ok = ask(T, {terminate_child, Id}),
    ok = ask(T, {delete_child, Id}).

%% ---------------------------------------------------------------- forgotten

set(T) ->
    case ask(T, info) of
        #{set := Set} -> Set;
        Other -> Other
    end.

%% No tiebeam is on its side: what it has is as it was. What was removed
%% meanwhile does not come back with it.
forgotten() ->
    with_cluster(4, [1], [{forget_ms, 300}, {auto_balance, false}], fun(Wires, [B1, B2, B3, B4] = Bs, [T]) ->
        Args = start_all(T),
        _ = until_all_run([T], Bs, Args, ?SLOW),
        cut(Wires, [{1, 4}, {2, 4}, {3, 4}]),
        Rest = [B1, B2, B3],
        tb_lib:until_equal(Rest, fun() -> set(T) end, ?SLOW),
        _ = until_all_run([T], Rest, Args, ?SLOW),
        [ok = ask(T, {terminate_child, pid_of(Rest, {d, N})}) || N <- lists:seq(1, 20)],
        [remove(T, {n, N}) || N <- lists:seq(1, 20)],
        [{ok, _} = ask(T, {start_child, named({n, N})}) || N <- [1, 2]],
        tb_lib:until_equal(0, fun() -> maps:get(tombstones, ask(T, info)) end, ?SLOW),
        %% it has gone on meanwhile
        ?assertNotEqual([], [A || {_, A, {running, _}} <- tables([B4])]),
        Expected = lists:sort([{d, N} || N <- lists:seq(21, 60)] ++ [{n, N} || N <- [1, 2 | lists:seq(21, 40)]]),
        Ms = joined(Wires, Bs, [T], Expected, 15000),
        tb_lib:until_equal(Bs, fun() -> set(T) end, ?SLOW),
        %% it is a host as any other
        ok = ask(T, rebalance),
        tb_lib:until(fun() -> [] =/= [A || {_, A, {running, _}} <- tables([B4])] end, ?SLOW),
        _ = until_all_run([T], Bs, Expected, 15000),
        io:format(user, "  as it shall be ~w ms after they are linked~n", [Ms])
    end).

%% It was down, and is back for the other host only.
seen() ->
    with_cluster(2, [3], [{forget_ms, infinity}, {auto_balance, false}], fun(Wires, [B1, B2] = Bs, [T] = Ts) ->
        Args = start_all(T, 10, 10),
        _ = until_all_run(Ts, Bs, Args, ?SLOW),
        alone(Wires, T, Bs, Args),
        ok = tb_netns:set(maps:get({1, 2}, Wires), both, 0, 0, 0),
        tb_lib:until(fun() -> true =:= rpc(B1, net_kernel, connect_node, [B2]) end, ?SLOW),
        tb_lib:until_equal([B2], fun() -> seen_by(B1, T) end, ?SLOW),
        ?assertEqual({error, {connected, B2}}, ask(T, {forget, B2})),
        ?assertEqual(Bs, set(T)),
        _ = joined(Wires, Bs, Ts, Args, ?SLOW)
    end).

%% The owner goes on without it, as long as it is the owner: what is served does not
%% wait, and what ran there runs twice. Another one sees all of them.
back_for_another() ->
    with_cluster(2, [3, 4], [{auto_balance, false}], fun(Wires, [B1, B2] = Bs, [T3, T4] = Ts) ->
        Args = start_all(T3, 10, 10),
        _ = until_all_run(Ts, Bs, Args, ?SLOW),
        There = kids_of([B2]),
        cut(Wires, [{1, 2}, {2, 3}, {2, 4}]),
        [tb_lib:until_equal([B1], fun() -> ask(T, hosts) end, ?SLOW) || T <- Ts],
        until_kids(Args, [B1]),
        [ok = tb_netns:set(maps:get(W, Wires), both, 0, 0, 0) || W <- [{1, 2}, {2, 4}]],
        [tb_lib:until(fun() -> true =:= rpc(B2, net_kernel, connect_node, [N]) end, ?SLOW) || N <- [B1, T4]],
        tb_lib:until(fun() -> attached =:= maps:get(state, maps:get(B2, maps:get(hosts, ask(T4, info)))) end, ?SLOW),
        {ok, New} = ask(T3, {start_child, named(new)}),
        ?assertEqual(B1, node(New)),
        ?assertEqual({lists:sort([new | Args]), There}, {kids_of([B1]), kids_of([B2])}),
        exit(tb_lib:pid_of(T3, ?NAME), kill),
        _ = until_all_run([T4], Bs, lists:sort([new | Args]), ?SLOW),
        ?assertEqual(There, kids_of([B2])),
        _ = joined(Wires, Bs, Ts, lists:sort([new | Args]), ?SLOW)
    end).

%% The union counts, and nothing that either side has acknowledged is lost.
both_forgotten() ->
    with_cluster(4, [1, 3], [{forget_ms, 300}], fun(Wires, [B1, B2, B3, B4] = Bs, [T1, T3] = Ts) ->
        Args = start_all(T1),
        _ = until_all_run(Ts, Bs, Args, ?SLOW),
        _ = split(Wires, Bs, Ts, Args),
        tb_lib:until_equal([B1, B2], fun() -> set(T1) end, ?SLOW),
        tb_lib:until_equal([B3, B4], fun() -> set(T3) end, ?SLOW),
        [{ok, _} = ask(T1, {start_child, dynamic({l, N})}) || N <- lists:seq(1, 10)],
        [{ok, _} = ask(T3, {start_child, dynamic({r, N})}) || N <- lists:seq(1, 10)],
        [{ok, _} = ask(T, {start_child, named({both, N})}) || T <- Ts, N <- lists:seq(1, 5)],
        Expected = lists:sort(
            Args ++ [{K, N} || K <- [l, r], N <- lists:seq(1, 10)] ++ [{both, N} || N <- lists:seq(1, 5)]
        ),
        Ms = joined(Wires, Bs, Ts, Expected, 15000),
        [tb_lib:until_equal(Bs, fun() -> set(T) end, ?SLOW) || T <- Ts],
        io:format(user, "  as it shall be ~w ms after they are linked~n", [Ms])
    end).

%% ---------------------------------------------------------------- at random

%% Whatever is cut, and for however long: in the end all is there once.
at_random() ->
    Seed = tb_lib:int_env("TB_SEED", erlang:phash2(erlang:timestamp())),
    _ = rand:seed(exsss, Seed),
    io:format(user, "  TB_SEED=~w~n", [Seed]),
    Hosts = tb_lib:int_env("TB_SPLIT_HOSTS", 4),
    Children = tb_lib:int_env("TB_SPLIT_CHILDREN", 100),
    with_cluster(Hosts, [1, 3], fun(Wires, Bs, [T1 | _] = Ts) ->
        Args = start_all(T1, Children * 3 div 5, Children * 2 div 5),
        _ = until_all_run(Ts, Bs, Args, ?SLOW),
        [round_of(N, Hosts, Wires, Bs, Ts, Args) || N <- lists:seq(1, tb_lib:int_env("TB_ROUNDS", 4))]
    end).

round_of(N, Hosts, Wires, Bs, Ts, Args) ->
    Pairs = [P || {A, B} = P <- maps:keys(Wires), A =< Hosts, B =< Hosts, rand:uniform(2) =:= 1],
    Ms = rand:uniform(?TICK * 2500),
    io:format(user, "  ~w: ~w ms without ~w", [N, Ms, Pairs]),
    cut(Wires, Pairs),
    receive
    after Ms -> ok
    end,
    %% a packet that was lost is sent again as late as the cut was long
    Healed = joined(Wires, Bs, Ts, Args, ?SLOW),
    io:format(user, ": all once ~w ms after they were linked again~n", [Healed]).
