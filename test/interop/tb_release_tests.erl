%% tb_release_tests - releases that form a cluster through their sidecars: one
%% made by Mix, one by rebar3, see test/templates. Three nodes of each.
-module(tb_release_tests).
-include_lib("eunit/include/eunit.hrl").

-define(TIMEOUT, 900).

-spec release_test_() -> tuple().
release_test_() ->
    {setup, fun join/0, fun tb_lib:leave/1, [
        {timeout, ?TIMEOUT, {Title, Case}}
     || {Title, Case} <- tb_lib:chosen(cases())
    ]}.

cases() ->
    [
        {atom_to_list(Kind) ++ ": " ++ Title, fun() -> with_cluster(Kind, Case) end}
     || Kind <- [mix, rebar3],
        filelib:is_regular(script(Kind)),
        {Title, Case} <- [
            {"a cluster of three; the sidecar is killed; a release stops", fun life/2},
            {"no process is left when the emulator is killed", fun killed/2}
        ]
    ] ++
        [
            {"mix: " ++ Title, fun() -> with_cluster(mix, Case) end}
         || filelib:is_regular(script(mix)),
            {Title, Case} <- [
                {"a supervisor for all of them", fun supervised/2},
                {"a module's supervisor", fun module_based/2}
            ]
        ].

%% A node of long names, hidden from those that it asks.
join() ->
    ok = tb_lib:setenv(),
    Epmd = tb_lib:start_epmd(tb_lib:epmd_port()),
    {ok, _} = net_kernel:start([list_to_atom(tb_lib:name(releases) ++ "@127.0.0.1"), longnames]),
    true = erlang:set_cookie(node(), list_to_atom(tb_lib:cookie())),
    [Epmd].

script(Kind) ->
    Name =
        case Kind of
            mix -> "app";
            rebar3 -> "peer"
        end,
    filename:join([os:getenv("TB_TEMPLATES", "build/templates"), Kind, "rel", "bin", Name]).

%% ---------------------------------------------------------- three of each

with_cluster(mix, Case) ->
    %% app@127.0.0.N, all on one port and in no epmd; a name server knows them
    Dns = tb_dns:start(#{hosts => [{address(N), "app.test"} || N <- numbers()]}),
    Port = tb_lib:free_port(),
    Socket = tb_raw:announce("app", Port),
    try
        with_nodes(fun(N) -> mix_node(N, Port, Dns) end, Case)
    after
        ok = gen_tcp:close(Socket),
        tb_dns:stop(Dns)
    end;
with_cluster(rebar3, Case) ->
    with_nodes(fun rebar3_node/1, Case).

numbers() -> [2, 3, 4].
address(N) -> "127.0.0." ++ integer_to_list(N).

mix_node(N, Port, Dns) ->
    Name = "app@" ++ address(N),
    Interface = "{127,0,0," ++ integer_to_list(N) ++ "}",
    Flags = ["-start_epmd false -erl_epmd_port ", integer_to_list(Port), " -kernel inet_dist_use_interface ", Interface],
    start(mix, "start", Name, [
        {"RELEASE_DISTRIBUTION", "name"},
        {"RELEASE_NODE", Name},
        {"RELEASE_COOKIE", tb_lib:cookie()},
        {"RELEASE_TMP", tb_lib:tmp(Name)},
        {"APP_NAMESERVER", tb_dns:address(Dns)},
        {"ERL_FLAGS", lists:flatten(Flags)}
    ]).

rebar3_node(N) ->
    Name = "peer" ++ integer_to_list(N) ++ "@127.0.0.1",
    Out = tb_lib:tmp(Name),
    ok = filelib:ensure_dir(filename:join(Out, "x")),
    start(rebar3, "foreground", Name, [{"PEER_NAME", Name}, {"PEER_COOKIE", tb_lib:cookie()}, {"RELX_OUT_FILE_PATH", Out}]).

start(Kind, Verb, Name, Env) ->
    {list_to_atom(Name), tb_lib:start(script(Kind), [Verb], [{"TB_MARK", Name} | Env])}.

with_nodes(Start, Case) ->
    Nodes = [Start(N) || N <- numbers()],
    Names = [Name || {Name, _} <- Nodes],
    try
        until(fun() -> is_cluster(Names) end, Nodes),
        Case(Names, Nodes)
    after
        [tb_lib:signal(Pid, "KILL") || Name <- Names, Pid <- marked(Name)]
    end.

is_cluster(Names) ->
    lists:all(fun(Name) -> lists:sort(ask(Name, erlang, nodes, []) -- [node()]) =:= lists:sort(Names -- [Name]) end, Names).

until(Condition, Nodes) ->
    try
        tb_lib:until(Condition, 120000)
    catch
        error:too_late -> error({too_late, [{Name, tb_lib:output(Program)} || {Name, Program} <- Nodes]})
    end.

%% [] of a node that is not up.
ask(Name, M, F, A) ->
    _ = net_kernel:hidden_connect_node(Name),
    case rpc:call(Name, M, F, A, 60000) of
        {badrpc, _} -> [];
        Result -> Result
    end.

%% Every process whose environment says that it is of that node.
marked(Name) ->
    Mark = iolist_to_binary(["TB_MARK=", atom_to_list(Name), 0]),
    {ok, Entries} = file:list_dir("/proc"),
    [
        list_to_integer(E)
     || E <- Entries,
        hd(E) >= $1,
        hd(E) =< $9,
        {ok, Environ} <- [file:read_file("/proc/" ++ E ++ "/environ")],
        binary:match(<<Environ/binary, 0>>, Mark) =/= nomatch
    ].

%% ------------------------------------------------------------------- cases

life(Names, Nodes) ->
    [First, Second | _] = Names,
    Before = connections(First, Names),
    ?assertMatch([_, _], Before),
    #{os_pid := Old, node := Sidecar, starts := 1} = ask(First, tiebeam_sidecar, info, []),
    ?assertNot(is_on_command_line(Old, tb_lib:cookie())),
    %% hidden, and known to its own node alone, unless it has a supervisor for all
    ?assert(lists:member(Sidecar, ask(First, erlang, nodes, [hidden]))),
    ?assertNot(lists:member(Sidecar, ask(Second, erlang, nodes, []))),
    ?assert(instance(First) =:= by_dns orelse not lists:member(Sidecar, ask(Second, erlang, nodes, [connected]))),
    tb_lib:signal(Old, "KILL"),
    until(fun() -> is_back(First, Old, Names) end, Nodes),
    ?assertEqual(Before, connections(First, Names)),
    [?assertMatch(#{starts := 1}, ask(Name, tiebeam_sidecar, info, [])) || Name <- Names -- [First]],
    %% a pair that is cut is linked again
    true = ask(First, erlang, disconnect_node, [Second]),
    until(fun() -> is_cluster(Names) end, Nodes),
    %% as `bin/app stop' does
    ok = ask(First, init, stop, []),
    {First, Program} = lists:keyfind(First, 1, Nodes),
    until(fun() -> marked(First) =:= [] end, Nodes),
    ?assertEqual(0, tb_lib:wait_exit(Program)),
    until(fun() -> is_cluster(Names -- [First]) end, Nodes).

is_back(Name, Old, Names) ->
    case ask(Name, tiebeam_sidecar, info, []) of
        #{os_pid := New, node := Sidecar} when is_integer(New), New =/= Old ->
            case ask(Name, gen_server, call, [{instance(Name), Sidecar}, {await, length(Names), []}]) of
                ok -> true;
                _ -> false
            end;
        _ ->
            false
    end.

instance(Name) ->
    case atom_to_list(Name) of
        "app@" ++ _ -> by_dns;
        _ -> local
    end.

%% To the others: they are new ones after a disconnection.
connections(Name, Names) ->
    lists:sort([C || {Node, _} = C <- ask(Name, erlang, system_info, [dist_ctrl]), lists:member(Node, Names)]).

is_on_command_line(Pid, Text) ->
    {ok, Line} = file:read_file("/proc/" ++ integer_to_list(Pid) ++ "/cmdline"),
    binary:match(Line, list_to_binary(Text)) =/= nomatch.

killed([First | Others], Nodes) ->
    #{os_pid := Sidecar} = ask(First, tiebeam_sidecar, info, []),
    Emulator = list_to_integer(ask(First, os, getpid, [])),
    ?assert(lists:member(Sidecar, marked(First))),
    tb_lib:signal(Emulator, "KILL"),
    until(fun() -> marked(First) =:= [] end, Nodes),
    until(fun() -> is_cluster(Others) end, Nodes).

%% Its children start, go on without the sidecar, and move when a node stops.
supervised([First | Others] = Names, Nodes) ->
    Sorted = lists:sort(Names),
    until(fun() -> lists:all(fun(N) -> jobs(N, hosts, []) =:= Sorted end, Names) end, Nodes),
    Before = lists:sort([start_job(Name, N) || N <- lists:seq(1, 10), Name <- Names]),
    ?assertEqual(Sorted, lists:usort([node(P) || P <- Before])),
    [?assertEqual(Before, pids(Name)) || Name <- Names],
    #{os_pid := Sidecar} = ask(First, tiebeam_sidecar, info, []),
    tb_lib:signal(Sidecar, "KILL"),
    New = start_job_soon(First, new, Nodes),
    ?assertEqual(lists:sort([New | Before]), pids(First)),
    ok = ask(First, init, stop, []),
    until(fun() -> lists:usort([node(P) || P <- pids(hd(Others))]) =:= lists:sort(Others) end, Nodes),
    until(fun() -> length(pids(hd(Others))) =:= 31 end, Nodes),
    ?assertEqual([], [P || P <- Before ++ [New], node(P) =/= First] -- pids(hd(Others))).

start_job(Name, N) ->
    Spec = #{id => N, start => {'Elixir.Agent', start_link, [erlang, phash2, [{Name, N}]]}},
    {ok, Pid} = ask(Name, 'Elixir.DynamicSupervisor', start_child, ['Elixir.App.Jobs', Spec]),
    Pid.

%% A call that was on its way to the sidecar fails with it; later ones wait.
start_job_soon(Name, N, Nodes) ->
    Self = self(),
    until(
        fun() ->
            try start_job(Name, N) of
                Pid -> Self ! {started, Pid}
            catch
                error:{badmatch, []} -> false
            end =/= false
        end,
        Nodes
    ),
    receive
        {started, Pid} -> Pid
    end.

jobs(Name, Function, Args) ->
    ask(Name, 'Elixir.Tiebeam.Supervisor', Function, ['Elixir.App.Jobs' | Args]).

pids(Name) ->
    lists:sort([P || {_, P, _, _} <- jobs(Name, which_children, []), is_pid(P)]).

%% `use Tiebeam.Supervisor', and the functions of its own.
module_based([First, Second | _] = Names, Nodes) ->
    Own = fun(Node, Function, Args) -> ask(Node, 'Elixir.Tiebeam.Supervisor', Function, ['Elixir.App.Counters' | Args]) end,
    Sorted = lists:sort(Names),
    until(fun() -> lists:all(fun(N) -> Own(N, hosts, []) =:= Sorted end, Names) end, Nodes),
    ?assertMatch(
        #{shutdown := 60000, type := supervisor, start := {'Elixir.App.Counters', start_link, [x]}},
        ask(First, 'Elixir.App.Counters', child_spec, [x])
    ),
    ?assertMatch({'EXIT', {#{'__struct__' := 'Elixir.ArgumentError'}, _}}, raised(First)),
    Agent = fun(N) -> #{id => N, start => {'Elixir.Agent', start_link, [erlang, abs, [N]]}} end,
    [{ok, A}, {ok, B}, {ok, C}, {error, max_children}] = Own(First, start_children, [[Agent(N) || N <- lists:seq(1, 4)]]),
    [?assertEqual(node(Pid), Own(Second, locate, [Agent(N)])) || {N, Pid} <- [{1, A}, {2, B}, {3, C}]],
    ?assertMatch(#{options := Options} when is_list(Options), Own(First, info, [])),
    {max_restarts, 1} = lists:keyfind(max_restarts, 1, maps:get(options, Own(First, info, []))),
    ?assertEqual(ok, Own(Second, reconfigure, [[{max_children, 4}]])),
    ?assertMatch([{ok, _}], Own(First, start_children, [[Agent(4)]])),
    ?assertEqual(ok, Own(Second, terminate_child, [A])),
    ?assertEqual({error, not_found}, Own(First, terminate_child, [A])),
    ?assertMatch(#{active := 3}, Own(Second, count_children, [])),
    ?assertEqual(ok, Own(Second, stop, [])),
    until(fun() -> Own(First, hosts, []) =:= Sorted end, Nodes),
    ?assertMatch(#{active := 0}, Own(First, count_children, [])).

raised(Node) ->
    {badrpc, Reason} = rpc:call(Node, 'Elixir.Tiebeam.Supervisor', start_link, [[{max_restarts, 3}]]),
    Reason.
