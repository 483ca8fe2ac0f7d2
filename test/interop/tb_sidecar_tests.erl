%% tb_sidecar_tests - the sidecar of erl/: what it makes of configurations, and
%% what it does beside a node. Releases with it: tb_release_tests.
-module(tb_sidecar_tests).
-include_lib("eunit/include/eunit.hrl").

%% What runs on other nodes: a handler of logger, and MFAs of discovery.
-export([log/2, hold/1, own_connect/2, own_disconnect/2, own_list/1, steps/2]).

-define(TIMEOUT, 300).

-spec sidecar_test_() -> tuple().
sidecar_test_() ->
    {setup, fun join/0, fun tb_lib:leave/1, [
        {timeout, ?TIMEOUT, {Title, Case}}
     || {Title, Case} <- tb_lib:chosen(cases())
    ]}.

cases() ->
    [
        {"topologies of libcluster", fun topologies/0},
        {"what topologies cannot say is named", fun bad_topologies/0},
        {"options of dns_cluster, DNS_CLUSTER_QUERY", fun dns_cluster/0},
        {"two nodes are connected; short names; child_spec", fun two_nodes/0},
        {"long names, libcluster's arguments", fun long_names/0},
        {"log lines reach logger with level and event", fun log_lines/0},
        {"telemetry as libcluster's", fun telemetry/0},
        {"its own MFAs connect, disconnect and list", fun own_mfas/0},
        {"a node without a name waits for one", fun no_name/0},
        {"a configuration that is refused is told, and nothing ends", fun refused/0},
        {"the owner is killed: one program again", fun owner_killed/0},
        {"a program that hangs is killed", fun hangs/0},
        {"no program", fun no_program/0},
        {"listen: false, more flags", fun no_listen/0},
        {"the application: with and without a configuration", fun application/0},
        {"TLS", fun tls/0}
    ].

%% The suite's own epmd; long and short names are the nodes'.
join() ->
    ok = tb_lib:setenv(),
    Epmd = tb_lib:start_epmd(tb_lib:epmd_port()),
    {ok, _} = net_kernel:start([list_to_atom(tb_lib:name(sidecars)), shortnames]),
    true = erlang:set_cookie(node(), list_to_atom(tb_lib:cookie())),
    [Epmd].

%% ---------------------------------------------------------- configurations

strategy(Name) -> list_to_atom("Elixir.Cluster.Strategy." ++ Name).

convert(Strategy, Config) -> convert(Strategy, Config, []).

convert(Strategy, Config, More) ->
    [{name, Options}] = tiebeam_topologies:discovery([{name, [{strategy, strategy(Strategy)}, {config, Config} | More]}]),
    Options.

topologies() ->
    ?assertEqual(
        [{source, {dns, <<"app.internal">>}}, {basename, <<"app">>}, {interval, 3000}],
        convert("DNSPoll", [{polling_interval, 3000}, {query, <<"app.internal">>}, {node_basename, <<"app">>}])
    ),
    ?assertEqual(
        [{source, {dns, <<"headless">>}}, {basename, <<"app">>}],
        convert("Kubernetes.DNS", [{service, <<"headless">>}, {application_name, <<"app">>}])
    ),
    ?assertEqual(
        [{source, {srv, "web.default.svc.cluster.local"}}, {basename, <<"app">>}, {interval, 10000}],
        convert("Kubernetes.DNSSRV", [
            {service, <<"web">>}, {application_name, <<"app">>}, {namespace, <<"default">>}, {polling_interval, 10000}
        ])
    ),
    ?assertEqual([{source, {nodes, ['a@h', 'b@h']}}], convert("Epmd", [{hosts, ['a@h', 'b@h']}])),
    ?assertEqual([{source, {epmd, []}}], convert("LocalEpmd", [])),
    ?assertMatch(
        [{source, {hosts_file, _}}, {interval, 30000}, {basename, "web"}],
        convert("ErlangHosts", [{timeout, 30000}, {name_match, web}])
    ),
    ?assertEqual(
        [{source, {epmd, []}}, {nameservers, ["::1"]}, {connect, {m, c, [1]}}, {list_nodes, {m, l, []}}],
        convert("LocalEpmd", [{nameservers, ["::1"]}], [{connect, {m, c, [1]}}, {list_nodes, {m, l, []}}])
    ),
    ?assertEqual([], tiebeam_topologies:discovery([])).

bad_topologies() ->
    [
        ?assertMatch({match, _}, re:run(why(fun() -> tiebeam_topologies:discovery(T) end), Text))
     || {T, Text} <- [
            {[{x, [{strategy, strategy("Gossip")}]}], "^topology x: Cluster.Strategy.Gossip is not supported yet"},
            {[{x, [{strategy, strategy("Rancher")}]}], "^topology x: unknown strategy Rancher; known are DNSPoll,"},
            {[{x, [{strategy, 'Elixir.My.Own'}]}], "^topology x: unknown strategy Elixir.My.Own;"},
            {[{x, [{config, []}]}], "^topology x: no strategy"},
            {[{x, [{strategy, strategy("DNSPoll")}, {config, [{query, <<"q">>}]}]}], "topology x: config needs node_basename"},
            {[{x, [{strategy, strategy("LocalEpmd")}, {config, [{resolver, fun(_) -> [] end}]}]}],
                "topology x.config: resolver has no counterpart"},
            {[{x, [{strategy, strategy("LocalEpmd")}, {conect, {m, f, []}}]}], "topology x: conect has no counterpart"},
            {[{x, [{strategy, strategy("LocalEpmd")}, {connect, {m, f}}]}], "connect: expected {Module, Function, Args}"},
            {[{x, [{strategy, strategy("ErlangHosts")}, {config, [{name_match, "a"}]}]}], "name_match \"a\": only an atom"},
            {[x], "expected {Name, "},
            {x, "expected a list"}
        ]
    ],
    ?assertMatch({match, _}, re:run(why(fun() -> tiebeam_sidecar_config:section([{x, self()}]) end), "cannot be given")),
    ?assertMatch({match, _}, re:run(why(fun() -> tiebeam_sidecar_config:section(x) end), "expected a list")).

why(Fun) ->
    {error, {tiebeam, Text}} = tb_lib:outcome(Fun),
    Text.

dns_cluster() ->
    Convert = fun(Options) -> maps:get(discovery, tiebeam_sidecar_config:section(Options)) end,
    ?assertEqual([{dns_cluster, [{source, {dns, <<"a.internal">>}}]}], Convert([{query, <<"a.internal">>}])),
    ?assertEqual([{dns_cluster, [{source, ignore}]}], Convert([{query, ignore}])),
    ?assertEqual(
        [{dns_cluster, [{source, {dns, [{<<"b">>, <<"c">>}]}}, {interval, 100}, {log, info}]}],
        Convert([{query, [{<<"b">>, <<"c">>}]}, {interval, 100}, {log, info}, {name, 'Elixir.X'}, {dns_rr_types, [a]}])
    ),
    ?assertMatch({match, _}, re:run(why(fun() -> Convert([{query, "q"}, {dns_rr_types, [srv]}]) end), "SRV records are a source")),
    ?assertEqual([], Convert([])),
    true = os:putenv("DNS_CLUSTER_QUERY", "a.internal, b.internal"),
    try
        ?assertEqual([{dns_cluster, [{source, {dns, ["a.internal", "b.internal"]}}]}], Convert([])),
        ?assertEqual([{dns_cluster, [{source, ignore}]}], Convert([{query, nil}]))
    after
        os:unsetenv("DNS_CLUSTER_QUERY")
    end.

%% ------------------------------------------------------- nodes with sidecars

%% A node whose application environment is no matter: all is in Options.
with_sidecar(Name, BeamOptions, Options, Fun) ->
    tb_lib:with_beam(Name, BeamOptions, fun(Beam, Node) ->
        start_sidecar(Node, Options),
        try
            Fun(Beam, Node)
        after
            Pid = maps:get(os_pid, info(Node), undefined),
            _ = rpc(Node, supervisor, terminate_child, [kernel_safe_sup, tiebeam_sidecar]),
            ?assertEqual(false, is_running(Pid)),
            %% a sanitizer's report is forwarded, too
            ?assertEqual(nomatch, re:run(tb_lib:output(Beam), "Sanitizer|runtime error:|Assertion"))
        end
    end).

start_sidecar(Node, Options) ->
    Spec = tiebeam:child_spec([{binary, tb_lib:binary()} | Options]),
    {ok, _} = rpc(Node, supervisor, start_child, [kernel_safe_sup, Spec]).

rpc(Node, M, F, A) ->
    rpc:call(Node, M, F, A, 60000).

info(Node) ->
    rpc(Node, tiebeam_sidecar, info, []).

nodes_of(Node) ->
    rpc(Node, erlang, nodes, []) -- [node()].

is_running(Pid) when is_integer(Pid) ->
    filelib:is_dir("/proc/" ++ integer_to_list(Pid));
is_running(_) ->
    false.

wait_output(Program, Pattern) ->
    try
        tb_lib:wait_output(Program, Pattern)
    catch
        error:too_late -> error({not_in_output, Pattern, tb_lib:output(Program)})
    end.

list(Nodes) ->
    {nodes, [{source, {nodes, Nodes}}, {interval, 200}, {connect_timeout, 1000}]}.

two_nodes() ->
    with_sidecar(one, #{}, [{discovery, [list([tb_beam(two)])]}], fun(Beam, One) ->
        tb_lib:with_beam(two, #{}, fun(_, Two) ->
            ?assertEqual(Two, tb_beam(two)),
            tb_lib:until(fun() -> nodes_of(One) =:= [Two] end),
            Sidecar = rpc(One, tiebeam_sidecar, name, []),
            ?assertEqual(list_to_atom("tiebeam-" ++ atom_to_list(One)), Sidecar),
            ?assertMatch(#{state := running, starts := 1, node := Sidecar}, info(One)),
            ok = rpc(One, gen_server, call, [{nodes, Sidecar}, {await, 2, []}]),
            ?assertEqual({error, badarg}, rpc(One, gen_server, call, [{nodes, Sidecar}, {await, 2, [x]}])),
            %% a steady state says nothing
            wait_output(Beam, "discovery.connected\\] \\[nodes\\] two@"),
            Rounds = fun() -> maps:get(rounds, rpc(One, gen_server, call, [{nodes, Sidecar}, info])) end,
            Before = tb_lib:output(Beam),
            First = Rounds(),
            tb_lib:until(fun() -> Rounds() >= First + 10 end),
            ?assertEqual(Before, tb_lib:output(Beam)),
            %% it hears of a node that goes, and finds it again
            true = rpc(Two, erlang, disconnect_node, [One]),
            tb_lib:until(fun() -> nodes_of(One) =:= [Two] end),
            ?assertMatch({error, {already_started, _}}, rpc(One, tiebeam_sidecar, start_link, [[]]))
        end)
    end).

tb_beam(Name) ->
    list_to_atom(atom_to_list(Name) ++ "@" ++ tb_lib:host()).

long_names() ->
    Long = #{host => "127.0.0.1", flags => []},
    Topologies = [{by_list, [{strategy, strategy("Epmd")}, {config, [{hosts, ['long2@127.0.0.1']}, {timeout, 200}]}]}],
    %% what the release's environment says of the release is none of the sidecar's
    Env = [{"RELEASE_NODE", "tiebeam-long1@127.0.0.1"}, {"RELEASE_COOKIE", "not_the_one"}, {"DNS_CLUSTER_QUERY", "x"}],
    One = tb_lib:beam(long1, Long#{env => Env, args => eval([{binary, tb_lib:binary()}, {topologies, Topologies}])}),
    Two = tb_lib:beam(long2, Long),
    try
        wait_output(One, "discovery.connected\\] \\[by_list\\] long2@127.0.0.1"),
        wait_output(One, "node=tiebeam-long1@127.0.0.1")
    after
        tb_lib:end_beam(One),
        tb_lib:end_beam(Two)
    end.

eval(Options) ->
    Term = io_lib:format("~0p", [Options]),
    ["-eval", lists:flatten(["{ok, _} = supervisor:start_child(kernel_safe_sup, tiebeam:child_spec(", Term, "))."])].

log_lines() ->
    with_sidecar(logs, #{args => ["-kernel", "logger_level", "info"]}, [{discovery, [list([])]}, {log, [{level, info}]}], fun(Beam, Node) ->
        wait_output(Beam, "NOTICE REPORT.*\n.*tiebeam: \\[node.started\\] node=tiebeam-logs@"),
        wait_output(Beam, "NOTICE REPORT.*\n.*tiebeam: \\[node.up\\] node=logs@"),
        %% whoever wants the event has it in the metadata
        ok = rpc(Node, logger, add_handler, [keep, ?MODULE, #{config => #{to => self()}}]),
        ok = rpc(Node, gen_server, call, [{nodes, rpc(Node, tiebeam_sidecar, name, [])}, {reconfigure, [{source, {nodes, [nobody@nowhere]}}]}]),
        receive
            {event, #{level := Level, meta := #{tiebeam_event := <<"discovery.not_connected">>}}} -> ?assertEqual(notice, Level)
        after 60000 -> error({no_event, tb_lib:output(Beam)})
        end,
        ok = rpc(Node, logger, remove_handler, [keep])
    end).

%% A handler of logger, on the other node.
-spec log(logger:log_event(), map()) -> term().
log(Event, #{config := #{to := Pid}}) ->
    Pid ! {event, Event}.

telemetry() ->
    Forms = [
        {attribute, 1, module, telemetry},
        {attribute, 2, export, [{execute, 3}]},
        {function, 3, execute, 3, [
            {clause, 3, [{var, 3, 'E'}, {var, 3, 'M'}, {var, 3, 'D'}], [], [
                {op, 3, '!', {call, 3, {remote, 3, {atom, 3, persistent_term}, {atom, 3, get}}, [{atom, 3, telemetry_events}]},
                    {tuple, 3, [{var, 3, 'E'}, {var, 3, 'M'}, {var, 3, 'D'}]}}
            ]}
        ]}
    ],
    {ok, telemetry, Code} = compile:forms(Forms),
    tb_lib:with_beam(events, #{}, fun(_, Node) ->
        {module, telemetry} = rpc(Node, code, load_binary, [telemetry, "telemetry.erl", Code]),
        ok = rpc(Node, persistent_term, put, [telemetry_events, self()]),
        Friend = tb_beam(friend),
        start_sidecar(Node, [{discovery, [{friends, [{source, {nodes, [Friend]}}, {interval, 200}, {on_gone, {disconnect, 2}}]}]}]),
        receive
            {[libcluster, connect_node, error], #{duration := D1}, #{node := Friend, topology := friends, reason := not_in_epmd}} ->
                ?assert(is_integer(D1))
        after 60000 -> error(no_event)
        end,
        tb_lib:with_beam(friend, #{}, fun(_, _) ->
            #{duration := D2} = wait_event([libcluster, connect_node, ok], Friend),
            ?assert(is_integer(D2)),
            Name = rpc(Node, tiebeam_sidecar, name, []),
            ok = rpc(Node, gen_server, call, [{friends, Name}, {reconfigure, [{source, {nodes, []}}]}]),
            _ = wait_event([libcluster, disconnect_node, ok], Friend),
            tb_lib:until(fun() -> nodes_of(Node) =:= [] end)
        end)
    end).

wait_event(Event, Node) ->
    receive
        {Event, Measurements, #{node := Node, topology := friends}} -> Measurements
    after 60000 -> error({no_event, Event})
    end.

%% As a libcluster with Partisan would have it: functions of the node's own.
own_mfas() ->
    Table = tb_mfas,
    Own = [{connect, {?MODULE, own_connect, [Table]}}, {disconnect, {?MODULE, own_disconnect, [Table]}}, {list_nodes, {?MODULE, own_list, [Table]}}],
    tb_lib:with_beam(mfas, #{}, fun(_, Node) ->
        Holder = rpc(Node, erlang, spawn, [?MODULE, hold, [Table]]),
        tb_lib:until(fun() -> rpc(Node, ets, whereis, [Table]) =/= undefined end),
        Config = [{hosts, ['x@elsewhere', 'y@elsewhere']}, {timeout, 200}, {on_gone, {disconnect, 2}}],
        start_sidecar(Node, [{topologies, [{own, [{strategy, strategy("Epmd")}, {config, Config} | Own]}]}]),
        Listed = fun() -> lists:sort(rpc(Node, ?MODULE, own_list, [Table])) end,
        tb_lib:until_equal(['x@elsewhere', 'y@elsewhere'], Listed),
        Sidecar = rpc(Node, tiebeam_sidecar, name, []),
        ok = rpc(Node, gen_server, call, [{own, Sidecar}, {await, 2, []}]),
        ?assertEqual([], nodes_of(Node)),
        ok = rpc(Node, gen_server, call, [{own, Sidecar}, {reconfigure, [{source, {nodes, ['y@elsewhere']}}]}]),
        tb_lib:until_equal(['y@elsewhere'], Listed),
        exit(Holder, kill)
    end).

-spec hold(atom()) -> no_return().
hold(Table) ->
    Table = ets:new(Table, [public, named_table]),
    receive after infinity -> ok end.

-spec own_connect(atom(), node()) -> true.
own_connect(Table, Node) -> ets:insert(Table, {Node}).

-spec own_disconnect(atom(), node()) -> true.
own_disconnect(Table, Node) -> ets:delete(Table, Node).

-spec own_list(atom()) -> [node()].
own_list(Table) -> [Node || {Node} <- ets:tab2list(Table)].

no_name() ->
    Erl = filename:join([code:root_dir(), "bin", "erl"]),
    Options = [{binary, tb_lib:binary()}, {discovery, []}],
    Name = tb_lib:name(late),
    Go = tb_lib:tmp("no_name."),
    Start = lists:flatten(io_lib:format("~s:steps(~ts, ~0p).", [?MODULE, Name, Go])),
    Program = tb_lib:start(Erl, ["-noinput", "-setcookie", tb_lib:cookie(), "-pa", filename:dirname(code:which(?MODULE))] ++ eval(Options) ++ ["-eval", Start]),
    [
        begin
            _ = wait_output(Program, Pattern),
            ok = file:write_file(Go ++ Step, "")
        end
     || {Pattern, Step} <- [
            {"this node has no name: start it with -name or -sname", "start"},
            {"node.started\\] node=tiebeam-" ++ Name, "stop"},
            {"lost its name", "halt"}
        ]
    ],
    ?assertEqual(0, tb_lib:wait_exit(Program)).

%% A node that has a name for a while: each step when there is a file for it.
-spec steps(atom(), file:filename()) -> pid().
steps(Name, Go) ->
    Until = fun(Step) -> tb_lib:until(fun() -> filelib:is_regular(Go ++ Step) end) end,
    spawn(fun() ->
        Until("start"),
        {ok, _} = net_kernel:start([Name, shortnames]),
        Until("stop"),
        ok = net_kernel:stop(),
        Until("halt"),
        halt()
    end).

refused() ->
    with_sidecar(refused, #{}, [{discovery, [{dns, [{source, {dns, "x"}}, {intervall, 5}]}]}], fun(Beam, Node) ->
        wait_output(Beam, "sidecar.said\\] environment TIEBEAM_CONFIG:1: tiebeam.discovery.intervall: unknown key, did you mean interval"),
        wait_output(Beam, "sidecar.ended\\] exit status 2: its configuration is refused"),
        tb_lib:until(fun() -> maps:get(starts, info(Node)) >= 3 end),
        tb_lib:until(fun() -> maps:get(state, info(Node)) =:= backing_off end)
    end).

owner_killed() ->
    with_sidecar(owner, #{}, [{discovery, []}], fun(_, Node) ->
        #{os_pid := Old} = info(Node),
        tb_lib:until(fun() -> nodes_hidden(Node) =/= [] end),
        Pid = rpc(Node, erlang, whereis, [tiebeam_sidecar]),
        true = rpc(Node, erlang, exit, [Pid, kill]),
        tb_lib:until(fun() -> not is_running(Old) end),
        tb_lib:until(fun() ->
            case info(Node) of
                #{os_pid := New} -> is_running(New) andalso nodes_hidden(Node) =/= [];
                _ -> false
            end
        end)
    end).

nodes_hidden(Node) ->
    rpc(Node, erlang, nodes, [hidden]).

hangs() ->
    tb_lib:with_beam(hangs, #{}, fun(Beam, Node) ->
        start_sidecar(Node, [{discovery, []}]),
        tb_lib:until(fun() -> nodes_hidden(Node) =/= [] end),
        #{os_pid := Pid} = info(Node),
        tb_lib:signal(Pid, "STOP"),
        ok = rpc(Node, supervisor, terminate_child, [kernel_safe_sup, tiebeam_sidecar]),
        wait_output(Beam, "sidecar.killed\\] it did not leave in time"),
        tb_lib:until(fun() -> not is_running(Pid) end)
    end).

no_program() ->
    tb_lib:with_beam(nothing, #{env => [{"PATH", "/bin"}]}, fun(Beam, Node) ->
        {ok, _} = rpc(Node, supervisor, start_child, [kernel_safe_sup, tiebeam:child_spec([{binary, "/nowhere/tiebeam"}])]),
        wait_output(Beam, "sidecar.not_started\\] binary: there is no /nowhere/tiebeam"),
        ?assertMatch(#{state := backing_off, starts := 0}, info(Node)),
        ?assertMatch(
            {error, {tiebeam, "topology x: no strategy"}},
            rpc(Node, gen_server, start, [tiebeam_sidecar, [{topologies, [{x, []}]}], []])
        )
    end).

%% It is in no epmd, and its node has it all the same.
no_listen() ->
    Options = [{discovery, []}, {listen, false}, {args, ["--log-level", "info"]}],
    with_sidecar(dials, #{args => ["-kernel", "logger_level", "info"]}, Options, fun(Beam, Node) ->
        wait_output(Beam, "node.started\\] node=tiebeam-dials@[^ ]+ port=0 "),
        tb_lib:until(fun() -> nodes_hidden(Node) =:= [rpc(Node, tiebeam_sidecar, name, [])] end),
        {ok, Names} = net_adm:names(),
        ?assertEqual([], [Name || {"tiebeam-" ++ _ = Name, _} <- Names])
    end).

application() ->
    Here = filename:dirname(proplists:get_value(source, module_info(compile))),
    {ok, [App]} = file:consult(filename:join([Here, "..", "..", "erl", "src", "tiebeam.app.src"])),
    tb_lib:with_beam(application, #{}, fun(_, Node) ->
        ok = rpc(Node, application, load, [App]),
        {ok, [tiebeam]} = rpc(Node, application, ensure_all_started, [tiebeam]),
        ?assertEqual([], rpc(Node, supervisor, which_children, [tiebeam_sup])),
        ok = rpc(Node, application, stop, [tiebeam]),
        ok = rpc(Node, application, set_env, [tiebeam, binary, tb_lib:binary()]),
        ok = rpc(Node, application, set_env, [tiebeam, discovery, [{hosts, [{source, ignore}]}]]),
        ok = rpc(Node, application, set_env, [tiebeam, node_monitor, [{nodes, [Node]}]]),
        {ok, [tiebeam]} = rpc(Node, application, ensure_all_started, [tiebeam]),
        tb_lib:until(fun() -> nodes_hidden(Node) =/= [] end),
        ?assertMatch(#{managed := [Node]}, rpc(Node, tiebeam_node_monitor, info, [rpc(Node, tiebeam_sidecar, name, [])])),
        #{os_pid := Pid} = info(Node),
        ok = rpc(Node, application, stop, [tiebeam]),
        ?assertEqual(false, is_running(Pid)),
        ok = rpc(Node, application, set_env, [tiebeam, sidecar, false]),
        {ok, [tiebeam]} = rpc(Node, application, ensure_all_started, [tiebeam]),
        ?assertEqual([], rpc(Node, supervisor, which_children, [tiebeam_sup]))
    end).

%% Nodes of TLS, which this VM is not: they tell by their output.
tls() ->
    Conf = filename:join(os:getenv("TB_CERTS"), "tls1.3.conf"),
    Flags = ["-proto_dist", "inet_tls", "-ssl_dist_optfile", Conf],
    Options = [{binary, tb_lib:binary()}, {discovery, [list([tb_beam(tls2)])]}],
    Two = tb_lib:beam(tls2, #{flags => Flags}),
    One = tb_lib:beam(tls1, #{flags => Flags, args => eval(Options)}),
    try
        wait_output(One, "discovery.connected\\] \\[nodes\\] tls2@")
    after
        tb_lib:end_beam(One),
        tb_lib:end_beam(Two)
    end.
