%% tb_skew_tests - hosts whose tiebeam_host is of another version than the one
%% that the daemon brings: newer ones that know the old table, ones that do
%% not, and one that was there before.
-module(tb_skew_tests).
-include_lib("eunit/include/eunit.hrl").

-define(TIMEOUT, 120).
-define(NAME, jobs).

-spec skew_test_() -> tuple().
skew_test_() ->
    {setup, fun setup/0, fun cleanup/1, fun(_) ->
        [
            {timeout, ?TIMEOUT, {Title, Case}}
         || {Title, Case} <- tb_lib:chosen(cases())
        ]
    end}.

setup() ->
    tb_lib:join(aa_skew).

cleanup(Epmd) ->
    tb_lib:leave(Epmd).

cases() ->
    [
        {"a host answers with the smaller version", fun smaller/0},
        {"a newer host, and one of ours", fun newer/0},
        {"hosts that cannot be spoken with are named, and are none", fun strange/0},
        {"a host that runs is not replaced", fun stays/0},
        {"a host that cannot be spoken with is replaced", fun replaced/0}
    ].

%% ----------------------------------------------------------------- helpers

%% The module with these texts replaced.
variant(Changes) ->
    Source = proplists:get_value(source, tiebeam_host:module_info(compile)),
    {ok, Text} = file:read_file(Source),
    Changed = lists:foldl(
        fun({From, To}, T) ->
            ?assertNotEqual(nomatch, binary:match(T, From)),
            binary:replace(T, From, To, [global])
        end,
        Text,
        Changes
    ),
    File = tb_lib:tmp("tiebeam_host.erl"),
    ok = file:write_file(File, Changed),
    {ok, tiebeam_host, Beam} = compile:file(File, [binary, {i, filename:dirname(Source)}]),
    Beam.

version(N) ->
    {<<"-define(VERSION, 1).">>, iolist_to_binary(io_lib:format("-define(VERSION, ~B).", [N]))}.

oldest(N) ->
    Text = integer_to_binary(N),
    [
        {<<"Version >= 1">>, <<"Version >= ", Text/binary>>},
        {<<"Version < 1">>, <<"Version < ", Text/binary>>}
    ].

host(Name) ->
    Beam = tb_lib:beam(Name, #{args => ["-kernel", "logger_level", "none"]}),
    Node = tb_lib:node_of(Beam),
    {module, _} = rpc:call(Node, code, ensure_loaded, [tb_kid]),
    true = rpc:call(Node, code, del_path, [filename:dirname(code:which(?MODULE))]),
    Beam.

%% One to which a tiebeam node has brought that module.
host(Name, Module) ->
    Beam = host(Name),
    bring(tb_lib:node_of(Beam), Module),
    Beam.

bring(Node, Module) ->
    {module, _} = rpc:call(Node, code, load_binary, [tiebeam_host, "tiebeam_host.erl", Module]).

md5(Node) ->
    rpc:call(Node, tiebeam_host, module_info, [md5]).

start_host(Node) ->
    Spec = (tiebeam_host:child_spec(?NAME))#{restart => temporary},
    {ok, Pid} = rpc:call(Node, supervisor, start_child, [kernel_safe_sup, Spec]),
    Pid.

with_daemon(Beams, Fun) ->
    Config = [{tiebeam, [{discovery, []}, {supervisors, [{?NAME, [{hosts, all}]}]}]}],
    Nodes = [tb_lib:node_of(B) || B <- Beams],
    try
        tb_lib:with_daemon(zz_tiebeam, #{config => Config}, fun(Daemon, Node) ->
            _ = [rpc:call(N, net_kernel, connect_node, [Node]) || N <- Nodes],
            Fun(Node, Nodes, Daemon)
        end)
    after
        lists:foreach(fun tb_lib:end_beam/1, Beams)
    end.

ask(Node, Request) ->
    gen_server:call({?NAME, Node}, Request, 30000).

state(Node, Host) ->
    maps:with([state, version], maps:get(Host, maps:get(hosts, ask(Node, info)), #{})).

dynamic(Arg) ->
    {{tb_kid, start_link, [Arg]}, permanent, 5000, worker, [tb_kid]}.

%% -------------------------------------------------------------------- cases

smaller() ->
    Beam = host(h1, variant([version(3)])),
    try
        Node = tb_lib:node_of(Beam),
        Host = start_host(Node),
        Attach = fun(V) ->
            {ok, Agreed, _, _} = gen_server:call(Host, {attach, V, self(), #{lease => 1000}}),
            Agreed
        end,
        ?assertEqual([1, 2, 3, 3], [Attach(V) || V <- [1, 2, 3, 4]]),
        ok = gen_server:cast(Host, {detach, self()})
    after
        tb_lib:end_beam(Beam),
        tb_lib:flush()
    end.

newer() ->
    with_daemon([host(h1, variant([version(2)])), host(h2)], fun(Node, [N1, N2] = Nodes, _) ->
        tb_lib:until_equal(lists:sort(Nodes), fun() -> ask(Node, hosts) end),
        [?assertEqual(#{state => attached, version => 1}, state(Node, N)) || N <- Nodes],
        ?assertNotEqual(md5(N1), md5(N2)),
        Pids = [P || {ok, P} <- ask(Node, {start_children, [dynamic(N) || N <- lists:seq(1, 20)]})],
        ?assertEqual(lists:sort(Nodes), lists:usort([node(P) || P <- Pids])),
        %% they hold each other's copies
        ok = ask(Node, {drain, N1}),
        tb_lib:until_equal([N2], fun() -> lists:usort([node(P) || {_, P, _, _} <- ask(Node, which_children), is_pid(P)]) end)
    end).

strange() ->
    Newer = variant([version(7) | oldest(7)]),
    Older = variant([version(0)]),
    with_daemon([host(h1, Newer), host(h2, Older), host(h3)], fun(Node, [N1, N2, N3], Daemon) ->
        tb_lib:until_equal([N3], fun() -> ask(Node, hosts) end),
        [
            tb_lib:until_equal(#{state => other_version, version => none}, fun() -> state(Node, N) end)
         || N <- [N1, N2]
        ],
        {ok, Pid} = ask(Node, {start_child, dynamic(a)}),
        ?assertEqual(N3, node(Pid)),
        ?assertMatch(#{hosts := #{N1 := #{state := other_version}}}, ask(Node, {explain, Pid})),
        %% said once of each, however often it is asked
        Output = tb_lib:wait_output(Daemon, "other_version.*" ++ atom_to_list(N2)),
        ?assertEqual(1, length(binary:matches(Output, <<"other_version] node=", (atom_to_binary(N1))/binary>>))),
        ?assertEqual(true, maps:get(owning, ask(Node, info)))
    end).

%% Children run under a module that another tiebeam has brought.
stays() ->
    Module = variant([version(2)]),
    Beam = host(h1, Module),
    N = tb_lib:node_of(Beam),
    Host = start_host(N),
    Md5 = md5(N),
    with_daemon([Beam], fun(Node, [_], _) ->
        tb_lib:until_equal([N], fun() -> ask(Node, hosts) end),
        {ok, Pid} = ask(Node, {start_child, dynamic(a)}),
        ?assertEqual(Md5, md5(N)),
        ?assertEqual(Host, rpc:call(N, erlang, whereis, [tiebeam_host_jobs])),
        exit(tb_lib:pid_of(Node, ?NAME), kill),
        tb_lib:until(fun() ->
            tb_lib:outcome(fun() -> ask(Node, which_children) end) =:= {value, [{undefined, Pid, worker, [tb_kid]}]}
        end),
        ?assertEqual(Md5, md5(N)),
        ?assertEqual(false, rpc:call(N, erlang, check_old_code, [tiebeam_host])),
        %% its process ends: the module that is there starts another one
        exit(Host, kill),
        tb_lib:until(fun() ->
            New = rpc:call(N, erlang, whereis, [tiebeam_host_jobs]),
            is_pid(New) andalso New =/= Host
        end),
        ?assertEqual(Md5, md5(N))
    end).

%% Another module is loaded, and its process stopped; the node stays connected.
replaced() ->
    Beam = host(h1, variant([version(7) | oldest(7)])),
    N = tb_lib:node_of(Beam),
    Old = start_host(N),
    with_daemon([Beam], fun(Node, [_], _) ->
        tb_lib:until_equal(#{state => other_version, version => none}, fun() -> state(Node, N) end),
        bring(N, variant([])),
        Monitor = monitor(process, Old),
        ok = rpc:call(N, supervisor, terminate_child, [kernel_safe_sup, {tiebeam_host, ?NAME}]),
        receive
            {'DOWN', Monitor, process, _, _} -> ok
        end,
        tb_lib:until_equal([N], fun() -> ask(Node, hosts) end),
        ?assertMatch({ok, _}, ask(Node, {start_child, dynamic(a)}))
    end).
