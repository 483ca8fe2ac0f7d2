%% tb_mesh_tests - BEAM nodes that run nothing of ours are connected to each
%% other: five hosts in network namespaces, each with its epmd and a stock node.
-module(tb_mesh_tests).
-include_lib("eunit/include/eunit.hrl").

-define(TIMEOUT, 600).
-define(HOSTS, 5).
-define(INTERVAL, 2000).
%% net_ticktime in seconds where links are cut, and of this VM, which asks
-define(TICK, 4).
%% What is printed is a second or so, on a machine that nobody else uses.
-define(MOST_MS, 30000).

-spec mesh_test_() -> tuple().
mesh_test_() ->
    {setup, fun join/0, fun tb_lib:leave/1, [
        {timeout, ?TIMEOUT, {Title, Case}}
     || {Title, Case} <- tb_lib:chosen(cases())
    ]}.

cases() ->
    case tb_bridge:possible() of
        true ->
            [
                {"five stock nodes form a mesh; a cut pair is linked again", fun five/0},
                {"a node on its way out is not linked", fun stopping/0},
                {"attached: one node is connected to the others", fun attached/0}
            ];
        false ->
            io:format(user, "tb_mesh_tests: no network namespaces here, nothing was tested~n", []),
            []
    end.

join() ->
    ok = tb_lib:setenv(),
    Epmd = tb_lib:start_epmd(tb_lib:epmd_port()),
    {ok, _} = net_kernel:start([list_to_atom(tb_lib:name(mesh) ++ "@127.0.0.1"), longnames]),
    true = erlang:set_cookie(node(), list_to_atom(tb_lib:cookie())),
    _ = net_kernel:set_net_ticktime(?TICK, 0),
    [Epmd].

%% ------------------------------------------------------------- the pieces

with_hosts(N, Fun) ->
    Net = tb_bridge:create(N),
    Epmd = os:find_executable("epmd"),
    Port = integer_to_list(tb_lib:epmd_port()),
    Epmds = [tb_bridge:start(Net, I, Epmd, ["-port", Port]) || I <- lists:seq(1, N)],
    try
        Fun(Net)
    after
        [tb_lib:kill(E) || E <- Epmds],
        tb_bridge:destroy(Net)
    end.

name(Net, I) ->
    list_to_atom("app@" ++ tb_bridge:address(Net, I)).

%% As somebody starts it who has never heard of us.
start_beam(Net, I, More) ->
    Erl = filename:join([code:root_dir(), "bin", "erl"]),
    Args = ["-name", atom_to_list(name(Net, I)), "-setcookie", tb_lib:cookie(), "-noinput", "-start_epmd", "false"],
    Program = tb_bridge:start(Net, I, Erl, Args ++ More ++ ["-eval", "io:put_chars(\"ready\\n\")"]),
    tb_lib:until(fun() -> binary:match(tb_lib:output(Program), <<"ready\n">>) =/= nomatch end),
    Program.

with_beams(Net, Is, More, Fun) ->
    Beams = [start_beam(Net, I, More) || I <- Is],
    try
        Fun()
    after
        lists:foreach(fun tb_lib:end_beam/1, Beams)
    end.

with_tiebeam(Net, Instance, Fun) ->
    Options = #{
        host => tb_bridge:own_address(Net),
        config => [{tiebeam, [{discovery, [{dns_cluster, Instance}]}]}]
    },
    Tiebeam = tb_lib:daemon(tiebeam, Options),
    try
        Fun(Tiebeam, tb_lib:node_of(Tiebeam))
    after
        tb_lib:stop(Tiebeam)
    end.

%% Asked over a hidden connection, so that this VM is no part of the mesh.
ask(Node, M, F, A) ->
    true = net_kernel:hidden_connect_node(Node),
    rpc:call(Node, M, F, A, 60000).

nodes_of(Net, I) ->
    lists:sort(ask(name(Net, I), erlang, nodes, [])).

is_mesh(Net, Is) ->
    All = lists:sort([name(Net, I) || I <- Is]),
    lists:all(fun(I) -> nodes_of(Net, I) =:= All -- [name(Net, I)] end, Is).

are_linked(Net, I, J) ->
    lists:member(name(Net, J), nodes_of(Net, I)) andalso lists:member(name(Net, I), nodes_of(Net, J)).

now_ms() ->
    erlang:monotonic_time(millisecond).

wait_output(Program, Pattern) ->
    try
        tb_lib:until(fun() -> re:run(tb_lib:output(Program), Pattern) =/= nomatch end)
    catch
        error:too_late -> error({not_in_output, Pattern, tb_lib:output(Program)})
    end.

%% -------------------------------------------------------------------- mesh

five() ->
    with_hosts(?HOSTS, fun(Net) ->
        Is = lists:seq(1, ?HOSTS),
        Source = {source, {epmd, [tb_bridge:address(Net, I) || I <- Is]}},
        with_tiebeam(Net, [Source, {basename, "app"}, {interval, ?INTERVAL}, {mesh, all}], fun(Tiebeam, N) ->
            with_beams(Net, Is, ["-kernel", "net_ticktime", integer_to_list(?TICK)], fun() ->
                Start = now_ms(),
                tb_lib:until(fun() -> is_mesh(Net, Is) end),
                Formed = now_ms() - Start,
                ?assert(Formed =< ?MOST_MS),
                ok = gen_server:call({dns_cluster, N}, {await, ?HOSTS, [mesh]}, 60000),
                wait_output(Tiebeam, "discovery.mesh\\] \\[dns_cluster\\] all 5 nodes are linked"),
                ?assertMatch(#{mesh := #{kind := all, members := 5, missing := 0}}, gen_server:call({dns_cluster, N}, info, 60000)),
                [nothing_of_ours(name(Net, I)) || I <- Is],
                tb_bridge:cut(Net, 1, 2),
                tb_lib:until(fun() -> not are_linked(Net, 1, 2) end, 60000),
                wait_output(Tiebeam, "pairs are not linked"),
                tb_bridge:join(Net, 1, 2),
                Joined = now_ms(),
                tb_lib:until(fun() -> are_linked(Net, 1, 2) end),
                Linked = now_ms() - Joined,
                tb_lib:until(fun() -> is_mesh(Net, Is) end),
                Whole = now_ms() - Joined,
                io:format(user, "  mesh of 5 in ~p ms, cut pair in ~p ms, mesh again in ~p ms~n", [Formed, Linked, Whole]),
                ?assert(Linked =< ?MOST_MS),
                ?assert(Whole =< ?MOST_MS)
            end)
        end)
    end).

nothing_of_ours(Node) ->
    Root = code:root_dir(),
    Foreign = [
        M
     || {M, File} <- ask(Node, code, all_loaded, []), is_list(File), not lists:prefix(Root, File)
    ],
    ?assertEqual([], Foreign).

%% A node whose init waits for an application that does not stop.
stopping() ->
    with_hosts(2, fun(Net) ->
        with_beams(Net, [1, 2], ["-connect_all", "false"], fun() ->
            Source = {source, {epmd, [tb_bridge:address(Net, I) || I <- [1, 2]]}},
            with_tiebeam(Net, [Source, {basename, "app"}, {interval, 500}, {mesh, all}], fun(_, N) ->
                ok = gen_server:call({dns_cluster, N}, {await, 2, [mesh]}, 60000),
                %% init:stop/0 waits for this process, a child of kernel's
                {ok, _} = ask(name(Net, 2), supervisor, start_child, [
                    kernel_safe_sup,
                    #{id => slow, start => {gen_event, start_link, []}, shutdown => 20000, type => worker}
                ]),
                Pid = hd([P || {slow, P, _, _} <- ask(name(Net, 2), supervisor, which_children, [kernel_safe_sup])]),
                ok = ask(name(Net, 2), sys, suspend, [Pid]),
                ok = ask(name(Net, 2), init, stop, []),
                tb_lib:until(fun() ->
                    case ask(name(Net, 2), init, get_status, []) of
                        {stopping, _} -> true;
                        _ -> false
                    end
                end),
                %% a whole pass has seen that
                tb_lib:until(fun() ->
                    #{mesh := #{members := M}} = gen_server:call({dns_cluster, N}, info, 60000),
                    M =:= 1
                end),
                true = ask(name(Net, 1), erlang, disconnect_node, [name(Net, 2)]),
                #{rounds := Rounds} = gen_server:call({dns_cluster, N}, info, 60000),
                tb_lib:until(fun() -> maps:get(rounds, gen_server:call({dns_cluster, N}, info, 60000)) > Rounds + 5 end),
                ?assertEqual([], nodes_of(Net, 1))
            end)
        end)
    end).

%% tiebeam itself connects to the attached node only.
attached() ->
    with_hosts(3, fun(Net) ->
        with_beams(Net, [1, 2], ["-connect_all", "false"], fun() ->
            Instance = [
                {source, {nodes, [name(Net, I) || I <- [1, 2, 3]]}},
                {attached, name(Net, 1)},
                {interval, 1000},
                {connect_timeout, 7000}
            ],
            with_tiebeam(Net, Instance, fun(Tiebeam, N) ->
                Ask = fun(Request) -> gen_server:call({dns_cluster, N}, Request, 60000) end,
                ?assertEqual({[name(Net, 2)], [{name(Net, 3), not_in_epmd}]}, Ask(discover_nodes)),
                wait_output(Tiebeam, lists:concat([name(Net, 3), ": epmd does not know that name, only nothing"])),
                ?assertEqual([name(Net, 1)], tb_lib:call(N, {nodes, visible}) -- [node()]),
                with_beams(Net, [3], ["-connect_all", "false"], fun() ->
                    ok = Ask({await, 3, []}),
                    ok = Ask({await, 3, [mesh]}),
                    ?assertEqual({error, timeout}, Ask({await, 4, [mesh, {timeout, 100}]})),
                    ?assertEqual([name(Net, 2), name(Net, 3)], nodes_of(Net, 1)),
                    %% a link that is severed is linked again
                    true = ask(name(Net, 2), erlang, disconnect_node, [name(Net, 1)]),
                    Start = now_ms(),
                    tb_lib:until(fun() -> are_linked(Net, 1, 2) end),
                    ?assert(now_ms() - Start =< ?MOST_MS),
                    ?assertEqual([], nodes_of(Net, 3) -- [name(Net, 1)])
                end)
            end)
        end)
    end).
