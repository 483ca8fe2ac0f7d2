%% tb_discovery_tests - discovery against a real name server, real epmds and
%% real nodes. The nodes that are found are app@127.0.0.N: each listens at an
%% address of its own, all on one port, in no epmd.
-module(tb_discovery_tests).
-include_lib("eunit/include/eunit.hrl").

-define(TIMEOUT, 300).
%% for an answer that comes, and for one that does not
-define(LONG_MS, 20000).
-define(SHORT_MS, 200).
-define(FINDER, 'finder@127.0.0.1').

-spec discovery_test_() -> tuple().
discovery_test_() ->
    {setup, fun join/0, fun tb_lib:leave/1, [
        {timeout, ?TIMEOUT, {Title, Case}}
     || {Title, Case} <- tb_lib:chosen(cases())
    ]}.

cases() ->
    [
        {"nessie: the instance is a process of that name", fun registered/0},
        {"nessie: two addresses are found on request", fun two_addresses/0},
        {"nessie: one address fails, the other is listed", fun one_fails/0},
        {"nessie: functions of one's own, in C", fun own_functions/0},
        {"A records, rounds by themselves, silence after", fun steady/0},
        {"AAAA records", fun aaaa/0},
        {"SRV records, a port instead of an epmd", fun srv/0},
        {"hosts by their names, of PTR records", fun names/0},
        {"several queries with a basename each", fun several_queries/0},
        {"a search domain", fun search_domain/0},
        {"answers that change; nobody is disconnected", fun changing/0},
        {"on_gone: disconnected after that many answers", fun on_gone/0},
        {"500 addresses, by TCP", fun five_hundred/0},
        {"bad answers disconnect nobody", fun bad_answers/0},
        {"a name server that hangs, that is gone", fun server_gone/0},
        {"nodes, hosts_file, mfa", fun other_sources/0},
        {"requests: timeout, reconfigure, await, stop", fun requests/0},
        {"misconfigurations are named in one round", fun misconfigured/0},
        {"TLS against plain, plain against TLS", fun tls_mixed/0},
        {"long and short names mixed", fun names_mixed/0},
        {"the verbs discover and await", fun verbs/0},
        {"a manual round does not disturb the timer", fun manual_round/0},
        {"a silent address delays nobody", fun silent_address/0},
        {"SIGHUP: instances come, change and go", fun reload/0}
    ].

%% A node of long names, as those that it asks.
join() ->
    ok = tb_lib:setenv(),
    Epmd = tb_lib:start_epmd(tb_lib:epmd_port()),
    {ok, _} = net_kernel:start([list_to_atom(tb_lib:name(discovery) ++ "@127.0.0.1"), longnames]),
    true = erlang:set_cookie(node(), list_to_atom(tb_lib:cookie())),
    [Epmd].

%% -------------------------------------------------------------- the pieces

with_dns(Options, Fun) ->
    Dns = tb_dns:start(Options),
    try
        Fun(Dns)
    after
        tb_dns:stop(Dns)
    end.

%% Nodes app@127.0.0.N, and the port they share.
with_apps(Ns, Fun) ->
    Port = tb_lib:free_port(),
    Apps = [app(app, N, Port, #{}) || N <- Ns],
    try
        Fun(Port)
    after
        lists:foreach(fun tb_lib:stop/1, Apps)
    end.

app(Name, N, Port, Options) ->
    Last = integer_to_list(N),
    Flags = ["-start_epmd", "false", "-erl_epmd_port", integer_to_list(Port)],
    Listen = ["-kernel", "inet_dist_use_interface", "{127,0,0," ++ Last ++ "}"],
    Nowhere = integer_to_list(tb_lib:free_port()),
    tb_lib:daemon(Name, Options#{
        host => "127.0.0." ++ Last, flags => Flags ++ Listen, env => [{"ERL_EPMD_PORT", Nowhere}]
    }).

%% The node that looks for them; ports: where they are.
with_finder(Instance, Port, Fun) ->
    with_finder(Instance, Port, #{}, Fun).

with_finder(Instance, Port, Options, Fun) ->
    Ports = [["127.0.0.", integer_to_list(N), "=", integer_to_list(Port)] || N <- lists:seq(2, 20)],
    Finder = tb_lib:daemon(
        finder,
        maps:merge(
            #{
                host => "127.0.0.1",
                config => [{tiebeam, [{discovery, [{dns_cluster, Instance}]}]}],
                args => ["--peer-ports", lists:flatten(lists:join(",", Ports))]
            },
            Options
        )
    ),
    try
        Fun(Finder)
    after
        tb_lib:stop(Finder)
    end.

dns(Dns, More) ->
    [{source, {dns, "app.test"}}, {basename, "app"}, {nameservers, [tb_dns:address(Dns)]} | More].

ask(Request) ->
    gen_server:call({dns_cluster, ?FINDER}, Request, 60000).

info() ->
    ask(info).

node_at(N) ->
    list_to_atom("app@127.0.0." ++ integer_to_list(N)).

address(N) ->
    "127.0.0." ++ integer_to_list(N).

wait_output(Program, Pattern) ->
    try
        tb_lib:until(fun() -> re:run(tb_lib:output(Program), Pattern) =/= nomatch end)
    catch
        error:too_late -> error({not_in_output, Pattern, tb_lib:output(Program)})
    end.

count(Program, Pattern) ->
    case re:run(tb_lib:output(Program), Pattern, [global]) of
        {match, All} -> length(All);
        nomatch -> 0
    end.

rounds(N) ->
    #{rounds := Now} = info(),
    tb_lib:until(fun() -> maps:get(rounds, info()) >= Now + N end, 60000).

%% Without those of this VM.
connected({Connected, Failed}) ->
    {lists:sort(Connected -- [node()]), lists:sort(Failed)}.

%% ------------------------------------------------------------------ nessie

registered() ->
    with_finder([{source, ignore}], 1, fun(_) ->
        Pid = tb_lib:pid_of(?FINDER, dns_cluster),
        ?assertEqual(?FINDER, node(Pid)),
        ?assertEqual(false, ask(has_ran)),
        ?assertEqual({[], []}, connected(ask(discover_nodes))),
        ?assertEqual(false, gen_server:call(Pid, has_ran))
    end).

two_addresses() ->
    with_dns(#{hosts => [{address(N), "app.test"} || N <- [2, 3]]}, fun(Dns) ->
        with_apps([2, 3], fun(Port) ->
            with_finder(dns(Dns, [{interval, none}]), Port, fun(_) ->
                ?assertEqual(false, ask(has_ran)),
                ?assertEqual({[node_at(2), node_at(3)], []}, connected(ask(discover_nodes))),
                ?assertEqual(true, ask(has_ran))
            end)
        end)
    end).

one_fails() ->
    with_dns(#{hosts => [{address(N), "app.test"} || N <- [2, 3]]}, fun(Dns) ->
        with_apps([3], fun(Port) ->
            with_finder(dns(Dns, [{interval, none}]), Port, fun(Finder) ->
                ?assertEqual({[node_at(3)], [{node_at(2), econnrefused}]}, connected(ask(discover_nodes))),
                wait_output(Finder, "not_connected\\] \\[dns_cluster\\] app@127.0.0.2: Connection refused"),
                ?assertMatch(#{errors := [{econnrefused, 1}], last_error := {econnrefused, <<"app@127.0.0.2", _/binary>>}}, info())
            end)
        end)
    end).

%% mock.c, a C node: basename, lookup, connect and list are its own.
own_functions() ->
    Binary = filename:absname(os:getenv("MOCK_BIN", "build/release/test/interop/mock")),
    [
        begin
            Mock = tb_lib:start(Binary, ["mocks@127.0.0.1", tb_lib:cookie() | Addresses]),
            tb_lib:wait_output(Mock, "ready ok"),
            Ask = fun(Request) -> gen_server:call({mock, 'mocks@127.0.0.1'}, Request, 60000) end,
            ?assertEqual(false, Ask(has_ran)),
            ?assertEqual({Connected, Failed}, Ask(discover_nodes)),
            ?assertEqual({Connected, Failed}, Ask(discover_nodes)),
            ?assertEqual(true, Ask(has_ran)),
            ?assertMatch(#{queries := [{"mock.test", [{'A', _, 5}, {'AAAA', nodata, undefined}]}]}, Ask(info)),
            ?assertEqual(ok, Ask({reconfigure, [{connect_timeout, 5000}]})),
            tb_lib:end_beam(Mock)
        end
     || {Addresses, Connected, Failed} <- [
            {["10.0.0.1", "10.0.0.2"], ['mock@10.0.0.1', 'mock@10.0.0.2'], []},
            {["10.0.0.9", "10.0.0.2"], ['mock@10.0.0.2'], [{'mock@10.0.0.9', noconnection}]}
        ]
    ].

%% --------------------------------------------------------------------- DNS

steady() ->
    with_dns(#{hosts => [{address(N), "app.test"} || N <- [2, 3]], ttl => 11}, fun(Dns) ->
        with_apps([2, 3], fun(Port) ->
            with_finder(dns(Dns, [{interval, 100}]), Port, fun(Finder) ->
                tb_lib:until(fun() -> maps:get(connected, info()) =:= 2 end),
                wait_output(Finder, "discovery.answer\\] \\[dns_cluster\\] app.test: A 2 \\(ttl 11\\), AAAA nodata\n"),
                ?assertMatch(#{queries := [{"app.test", [{'A', 2, 11}, {'AAAA', nodata, undefined}]}], errors := []}, info()),
                Before = tb_lib:output(Finder),
                rounds(10),
                ?assertEqual(Before, tb_lib:output(Finder))
            end)
        end)
    end).

%% One app in the epmd of ::1: names are those of a node of IPv6.
aaaa() ->
    with_dns(#{hosts => [{"::1", "app.test"}, {address(9), "app.test"}]}, fun(Dns) ->
        Six = #{host => "::1", flags => ["-proto_dist", "inet6_tcp"]},
        App = tb_lib:daemon(app, Six),
        try
            Config = [{tiebeam, [{discovery, [{dns_cluster, dns(Dns, [{interval, 100}])}]}]}],
            with_finder([], 1, Six#{config => Config}, fun(Finder) ->
                wait_output(Finder, "discovery.connected\\] \\[dns_cluster\\] app@::1\n"),
                wait_output(Finder, "app.test: A 1 \\(ttl 7\\), AAAA 1 \\(ttl 7\\)"),
                ?assertEqual(0, count(Finder, "127.0.0.9"))
            end)
        after
            tb_lib:stop(App)
        end
    end).

srv() ->
    Port = tb_lib:free_port(),
    Conf = [
        "srv-host=_app._tcp.test,localhost," ++ integer_to_list(Port) ++ ",1,2",
        "srv-host=_wrong._tcp.test,localhost," ++ integer_to_list(tb_lib:free_port())
    ],
    with_dns(#{conf => Conf}, fun(Dns) ->
        Flags = ["-start_epmd", "false", "-erl_epmd_port", integer_to_list(Port)],
        Nowhere = [{"ERL_EPMD_PORT", integer_to_list(tb_lib:free_port())}],
        Instance = fun(Query, Base) ->
            [{source, {srv, Query}}, {basename, Base}, {nameservers, [tb_dns:address(Dns)]}, {interval, 100}]
        end,
        Instances = [{right, Instance("_app._tcp.test", "app")}, {wrong, Instance("_wrong._tcp.test", "other")}],
        File = tb_lib:tmp("srv.config"),
        ok = file:write_file(File, io_lib:format("~tp.~n", [[{tiebeam, [{discovery, Instances}]}]])),
        App = short("app@localhost", Flags, Nowhere),
        Finder = short("finder@localhost", ["-config", File], []),
        try
            wait_output(Finder, "discovery.answer\\] \\[right\\] _app._tcp.test: SRV 1 \\(ttl"),
            wait_output(Finder, "discovery.connected\\] \\[right\\] app@localhost"),
            wait_output(Finder, "not_connected\\] \\[wrong\\] other@localhost: Connection refused")
        after
            tb_lib:stop(Finder),
            tb_lib:stop(App)
        end
    end).

short(Name, Args, Env) ->
    tb_lib:start(tb_lib:binary(), ["-sname", Name, "-setcookie", tb_lib:cookie() | Args], Env).

%% Among short names, where localhost.test is localhost; and among long ones.
names() ->
    Conf = [
        "address=/app.test/127.0.0.1",
        "ptr-record=1.0.0.127.in-addr.arpa,localhost.test",
        "address=/bare.test/127.0.0.3"
    ],
    with_dns(#{conf => Conf}, fun(Dns) ->
        Instance = [
            {source, {dns, ["app.test", "bare.test"]}},
            {hosts, names},
            {basename, "app"},
            {nameservers, [tb_dns:address(Dns)]},
            {interval, 100}
        ],
        File = tb_lib:tmp("names.config"),
        ok = file:write_file(File, io_lib:format("~tp.~n", [[{tiebeam, [{discovery, [{dns_cluster, Instance}]}]}]])),
        App = short("app@localhost", [], []),
        Finder = short("finder@localhost", ["-config", File], []),
        try
            wait_output(Finder, "discovery.connected\\] \\[dns_cluster\\] app@localhost\n"),
            wait_output(Finder, "app.test: A 1 \\(ttl 7\\), AAAA n[a-z]+, PTR 1[:\n]"),
            wait_output(Finder, "no_answer\\] \\[dns_cluster\\] bare.test: A 1 \\(ttl 7\\), AAAA n[a-z]+, PTR refused of 127.0.0.3: "),
            ?assertEqual(0, count(Finder, "app@127"))
        after
            tb_lib:stop(Finder),
            tb_lib:stop(App)
        end,
        with_finder(Instance, 1, fun(_) ->
            {_, Failed} = ask(discover_nodes),
            ?assertMatch([{'app@localhost.test', _}], Failed)
        end)
    end).

several_queries() ->
    with_dns(#{hosts => [{address(2), "app.test"}, {address(3), "web.test"}, {address(4), "more.test"}]}, fun(Dns) ->
        with_apps([2, 4], fun(Port) ->
            Web = app(web, 3, Port, #{}),
            Instance = [
                {source, {dns, ["app.test", "more.test", {"web", "web.test"}]}},
                {basename, "app"},
                {interval, none},
                {nameservers, [tb_dns:address(Dns)]}
            ],
            with_finder(Instance, Port, fun(_) ->
                ?assertEqual({['app@127.0.0.2', 'app@127.0.0.4', 'web@127.0.0.3'], []}, connected(ask(discover_nodes)))
            end),
            tb_lib:stop(Web)
        end)
    end),
    %% of the system's name server, which knows neither, or is none
    Env = [{"DNS_CLUSTER_QUERY", "a.invalid,b.invalid"}, {"RELEASE_NAME", "app"}],
    Finder = short("finder@localhost", [], Env),
    try
        [wait_output(Finder, "no_answer\\] \\[dns_cluster\\] " ++ Name ++ ".invalid: A ") || Name <- ["a", "b"]]
    after
        tb_lib:stop(Finder)
    end.

search_domain() ->
    with_dns(#{hosts => [{address(2), "app.deep.test"}]}, fun(Dns) ->
        with_apps([2], fun(Port) ->
            More = [{source, {dns, "app"}}, {search, ["no.test", "deep.test"]}, {interval, none}],
            with_finder(More ++ tl(dns(Dns, [])), Port, fun(_) ->
                ?assertEqual({[node_at(2)], []}, connected(ask(discover_nodes)))
            end)
        end)
    end).

changing() ->
    with_dns(#{hosts => [{address(2), "app.test"}]}, fun(Dns) ->
        with_apps([2, 3, 4], fun(Port) ->
            with_finder(dns(Dns, [{interval, 100}]), Port, fun(Finder) ->
                tb_lib:until(fun() -> maps:get(connected, info()) =:= 1 end),
                tb_dns:hosts(Dns, [{address(N), "app.test"} || N <- [3, 4]]),
                tb_lib:until(fun() -> maps:get(connected, info()) =:= 3 end),
                wait_output(Finder, "app.test: A 2 \\(ttl 7\\)"),
                rounds(10),
                ?assertMatch({[_, _, _], []}, connected(ask(discover_nodes))),
                ?assertEqual(0, count(Finder, "node.down"))
            end)
        end)
    end).

on_gone() ->
    with_dns(#{hosts => [{address(N), "app.test"} || N <- [2, 3]]}, fun(Dns) ->
        with_apps([2, 3], fun(Port) ->
            with_finder(dns(Dns, [{interval, none}, {on_gone, {disconnect, 2}}]), Port, fun(Finder) ->
                Both = {[node_at(2), node_at(3)], []},
                ?assertEqual(Both, connected(ask(discover_nodes))),
                tb_dns:hosts(Dns, [{address(3), "app.test"}]),
                tb_lib:until(fun() ->
                    ask(discover_nodes),
                    #{queries := [{_, [{'A', N, _} | _]}]} = info(),
                    N =:= 1
                end),
                tb_lib:until(fun() -> connected(ask(discover_nodes)) =:= {[node_at(3)], []} end),
                wait_output(Finder, "app@127.0.0.2: not in the last 2 answers, disconnected"),
                wait_output(Finder, "node.down\\] node=app@127.0.0.2 reason=disconnect")
            end)
        end)
    end).

%% None of them is a node; epmd answers at every address of the loopback.
five_hundred() ->
    Addresses = ["127.1." ++ integer_to_list(I) ++ "." ++ integer_to_list(J) || I <- [1, 2], J <- lists:seq(1, 250)],
    with_dns(#{hosts => [{A, "app.test"} || A <- Addresses]}, fun(Dns) ->
        with_finder(dns(Dns, [{interval, none}, {log, off}]), 1, fun(_) ->
            {[], Failed} = connected(ask(discover_nodes)),
            ?assertEqual([{list_to_atom("app@" ++ A), not_in_epmd} || A <- lists:sort(Addresses)], Failed),
            ?assertMatch(#{candidates := 500, queries := [{_, [{'A', 500, 7}, _]}]}, info())
        end)
    end).

%% ------------------------------------------------------------- bad answers

%% Ten rounds of each by the timer, then as many as there are in ten minutes of
%% rounds of five seconds; with the option that disconnects at the first chance.
bad_answers() ->
    with_apps([2, 3], fun(Port) ->
        Good = #{a => [{127, 0, 0, 2}, {127, 0, 0, 3}]},
        Server = tb_dns:bad(Good),
        Instance = [
            {source, {dns, "app.test"}},
            {basename, "app"},
            {nameservers, [tb_dns:bad_address(Server)]},
            {interval, 100},
            {connect_timeout, ?LONG_MS},
            %% a round may ask for A before the server changes its mind, and for AAAA after it
            {on_gone, {disconnect, 2}}
        ],
        with_finder(Instance, Port, fun(Finder) ->
            tb_lib:until(fun() -> maps:get(connected, info()) =:= 2 end),
            ok = gen_server:call({node_monitor, ?FINDER}, {monitor_nodes, true, [{node_type, all}]}),
            [bad_answer(Server, Good, Bad) || Bad <- bad()],
            ?assertEqual(0, count(Finder, "node.down")),
            ?assertEqual([], tb_lib:flush()),
            %% one line for each, however many rounds it lasted
            Counts = [{Name, count(Finder, "no_answer\\].*A " ++ both(Name) ++ ":")} || {Name, _} <- bad()],
            case [Count || {_, N} = Count <- Counts, N =/= 1] of
                [] -> ok;
                Wrong -> error({not_one_line, Wrong, tb_lib:output(Finder)})
            end
        end),
        tb_dns:end_bad(Server)
    end).

bad() ->
    [
        {"nxdomain", #{a => 3, aaaa => 3}},
        {"servfail", #{a => 2, aaaa => 2}},
        {"refused", #{a => 5, aaaa => 5}},
        {"formerr", #{a => 1, aaaa => 1}},
        {"nodata", #{}},
        {"protocol_error", #{a => garbage, aaaa => garbage}},
        {"timeout", #{a => silence, aaaa => silence}},
        {"econnrefused", #{a => truncated, aaaa => truncated}},
        {"1 \\(ttl 5\\), AAAA servfail", #{a => [{127, 0, 0, 3}], aaaa => 2}}
    ].

both("1 " ++ _ = Half) -> Half;
both(Error) -> Error ++ ", AAAA " ++ Error.

%% Only for silence one has to wait; a busy server's answer is none.
bad_answer(Server, Good, {Name, Answers}) ->
    tb_dns:answer(Server, Answers),
    Name =:= "timeout" andalso patience(?SHORT_MS),
    rounds(10),
    #{rounds := Before} = info(),
    [{[_, _ | _], _} = ask(discover_nodes) || _ <- lists:seq(1, 120)],
    ?assert(maps:get(rounds, info()) >= Before + 120),
    #{errors := Errors, last_error := {Last, Text}} = info(),
    ?assertMatch({match, _}, re:run(Text, "A " ++ Name)),
    ?assert(proplists:get_value(Last, Errors) >= 129),
    tb_dns:answer(Server, Good),
    Name =:= "timeout" andalso patience(?LONG_MS),
    rounds(2),
    ?assertMatch({[_, _], []}, connected(ask(discover_nodes))).

patience(Ms) ->
    ok = ask({reconfigure, [{connect_timeout, Ms}]}).

server_gone() ->
    with_apps([2], fun(Port) ->
        Dns = tb_dns:start(#{hosts => [{address(2), "app.test"}]}),
        with_finder(dns(Dns, [{interval, 100}, {connect_timeout, 500}]), Port, fun(Finder) ->
            tb_lib:until(fun() -> maps:get(connected, info()) =:= 1 end),
            tb_lib:signal(tb_dns:program(Dns), "STOP"),
            wait_output(Finder, "app.test: A timeout, AAAA timeout: no answer in time, asked 127.0.0.1:"),
            tb_lib:signal(tb_dns:program(Dns), "CONT"),
            wait_output(Finder, "A timeout.*\n.*discovery.answer\\].*A 1 "),
            patience(?LONG_MS),
            tb_dns:stop(Dns),
            wait_output(Finder, "app.test: A econnrefused, AAAA econnrefused: Connection refused, asked"),
            rounds(5),
            ?assertEqual(1, count(Finder, ": A econnrefused")),
            ?assertEqual(0, count(Finder, "node.down"))
        end)
    end).

%% ----------------------------------------------------------- other sources

other_sources() ->
    Epmd = tb_lib:daemon(inepmd, #{host => "127.0.0.1"}),
    with_finder([{source, {nodes, ['inepmd@127.0.0.1', ?FINDER]}}, {interval, none}], 1, fun(_) ->
        ?assertEqual({['inepmd@127.0.0.1'], []}, connected(ask(discover_nodes)))
    end),
    Hosts = tb_lib:tmp("hosts.erlang"),
    ok = file:write_file(Hosts, "'127.0.0.1'.\n%% and\n'127.0.0.77'.\n"),
    with_finder([{source, {hosts_file, Hosts}}, {basename, "inepmd"}, {interval, none}], 1, fun(_) ->
        ?assertEqual(
            {['inepmd@127.0.0.1'], [{'inepmd@127.0.0.77', wrong_name}]}, connected(ask(discover_nodes))
        ),
        ok = file:delete(Hosts),
        ask(discover_nodes),
        ?assertMatch(#{last_error := {_, _}, errors := [_ | _]}, info()),
        ?assertEqual(1, proplists:get_value(enoent, maps:get(errors, info())))
    end),
    %% asked of this VM, the one visible node
    Mfa = {mfa, lists, sort, [['inepmd@127.0.0.1', ?FINDER]]},
    with_finder([{source, Mfa}, {interval, none}], 1, fun(_) ->
        ?assertEqual({['inepmd@127.0.0.1'], []}, connected(ask(discover_nodes))),
        ok = ask({reconfigure, [{source, {mfa, lists, nothing, []}}]}),
        ask(discover_nodes),
        ?assertMatch(#{last_error := {exit, <<"mfa on ", _/binary>>}}, info())
    end),
    tb_lib:stop(Epmd).

%% ---------------------------------------------------------------- requests

requests() ->
    Dns = tb_dns:start(#{hosts => [{address(2), "app.test"}]}),
    with_apps([2], fun(Port) ->
        with_finder(dns(Dns, [{interval, none}]), Port, fun(_) ->
            ?assertEqual({error, timeout}, ask({await, 1, [{timeout, 50}]})),
            tb_lib:signal(tb_dns:program(Dns), "STOP"),
            ?assertEqual({error, timeout}, ask({discover_nodes, 50})),
            tb_lib:signal(tb_dns:program(Dns), "CONT"),
            Waiting = gen_server:send_request({dns_cluster, ?FINDER}, {await, 1, []}),
            ?assertEqual({error, {badarg, interval}}, ask({reconfigure, [{interval, 1}]})),
            ?assertEqual({error, {badarg, sorce}}, ask({reconfigure, [{sorce, ignore}]})),
            ?assertEqual({error, {badarg, options}}, ask({reconfigure, [x]})),
            ?assertEqual(ok, ask({reconfigure, [{interval, 100}]})),
            ?assertEqual({reply, ok}, gen_server:wait_response(Waiting, 60000)),
            ?assertEqual(ok, ask({await, 1, [{timeout, 0}]})),
            ?assertEqual({error, badarg}, ask({await, 1, [mesh]})),
            ?assertEqual({error, badarg}, ask({await, -1, []})),
            ?assertMatch(#{interval := 100, source := dns}, info()),
            ok = gen_server:cast({dns_cluster, ?FINDER}, discover_nodes),
            Pid = tb_lib:pid_of(?FINDER, dns_cluster),
            Ref = monitor(process, Pid),
            ?assertEqual(ok, ask(stop)),
            receive
                {'DOWN', Ref, process, Pid, Reason} -> ?assertEqual(normal, Reason)
            end
        end)
    end),
    tb_dns:stop(Dns).

%% ------------------------------------------------------- misconfigurations

%% What each looks like: the cause in info, the text of the log.
misconfigured() ->
    Hosts = [{address(2), "app.test"}, {address(30), "hole.test"}],
    {ok, Listener} = gen_tcp:listen(0, [{ip, {127, 0, 0, 2}}]),
    {ok, Silent} = inet:port(Listener),
    Closed = integer_to_list(tb_lib:free_port()),
    %% an epmd that serves one address of this host, and none at 127.0.0.2
    OneHost = integer_to_list(tb_lib:free_port()),
    Epmd = tb_lib:start(os:find_executable("epmd"), ["-port", OneHost, "-address", "127.0.0.1"]),
    with_dns(#{hosts => Hosts}, fun(Dns) ->
        Server = tb_dns:address(Dns),
        Query = fun(Q, Base) -> [{source, {dns, Q}}, {basename, Base}, {nameservers, [Server]}] end,
        App = tb_lib:daemon(app, #{host => "127.0.0.2"}),
        try
            [
                misconfigured(Title, Instance, Options, Cause, Text)
             || {Title, Instance, Options, Cause, Text} <- [
                    {wrong_query, Query("ap.test", "app"), #{}, nxdomain,
                        "ap.test: A nxdomain, AAAA nxdomain: the host name does not resolve, asked " ++ Server},
                    {no_addresses, [{source, {srv, "app.test"}} | tl(Query("", "app"))], #{}, nodata,
                        "app.test: SRV nodata: the name has no such records"},
                    {wrong_zone, Query("app.example", "app"), #{}, refused, "app.example: A refused, AAAA refused"},
                    {no_name_server, [{source, {dns, "app.test"}}, {basename, "app"}, {nameservers, ["127.0.0.1:" ++ Closed]}],
                        #{}, econnrefused, "app.test: A econnrefused.* asked 127.0.0.1:" ++ Closed},
                    {wrong_basename, Query("app.test", "shop"), #{}, not_in_epmd,
                        "shop@127.0.0.2: epmd does not know that name, only .*app"},
                    {wrong_cookie, Query("app.test", "app"), #{cookie => "other"}, bad_cookie,
                        "app@127.0.0.2: the cookies differ"},
                    {no_epmd, Query("app.test", "app"), #{args => ["--epmd-port", OneHost]}, no_epmd,
                        "app@127.0.0.2: epmd does not answer"},
                    {wrong_host, Query("hole.test", "app"), #{}, wrong_name,
                        "app@127.0.0.30: calls itself app@127.0.0.2: look for it under that name"},
                    {wrong_port, Query("app.test", "app"), #{args => ["--peer-ports", "127.0.0.2=" ++ Closed]}, econnrefused,
                        "app@127.0.0.2: Connection refused"},
                    {silence, [{connect_timeout, 300} | Query("app.test", "app")],
                        #{args => ["--peer-ports", "127.0.0.2=" ++ integer_to_list(Silent)]}, timeout,
                        "app@127.0.0.2: no answer in time"},
                    {no_hosts_file, [{source, {hosts_file, "/nowhere"}}], #{}, enoent,
                        "/nowhere: file enoent: No such file or directory"},
                    {nobody_to_ask, [{source, {mfa, m, f, []}}], #{}, noconnection,
                        "mfa: mfa noconnection: no connection to that node"}
                ]
            ]
        after
            ok = gen_tcp:close(Listener),
            tb_lib:end_beam(Epmd),
            tb_lib:stop(App)
        end
    end).

%% A daemon of its own for each. It is asked by the program itself, which has its
%% cookie and its epmd, and is no visible node.
misconfigured(Title, Instance, Options, Cause, Text) ->
    Config = [{tiebeam, [{discovery, [{dns_cluster, [{interval, 200} | Instance]}]}, {start_epmd, false}]}],
    Finder = tb_lib:daemon(finder, Options#{host => "127.0.0.1", config => Config}),
    Info = fun() -> info_by_verb(Options) end,
    try
        wait_output(Finder, Text),
        #{errors := Errors, last_error := {Last, Said}, rounds := Rounds} = Info(),
        ?assertMatch({Title, [{Cause, _}], Cause}, {Title, Errors, Last}),
        ?assertMatch({match, _}, re:run(Said, Text)),
        %% once, however many rounds there are
        tb_lib:until(fun() -> maps:get(rounds, Info()) >= Rounds + 3 end),
        ?assertEqual({Title, 1}, {Title, count(Finder, Text)})
    after
        tb_lib:stop(Finder)
    end.

info_by_verb(Options) ->
    Epmd = [Arg || "--epmd-port" <- maps:get(args, Options, []), Arg <- maps:get(args, Options)],
    Cookie = maps:get(cookie, Options, tb_lib:cookie()),
    Words = ["call", atom_to_list(?FINDER), "dns_cluster", "info", "-setcookie", Cookie | maps:get(flags, Options, [])],
    {0, Out, _} = tb_lib:run(tb_lib:binary(), Words ++ Epmd, []),
    {ok, Tokens, _} = erl_scan:string(Out ++ "."),
    {ok, Info} = erl_parse:parse_term(Tokens),
    Info.

tls_mixed() ->
    Conf = filename:join(os:getenv("TB_CERTS"), "tls1.3.conf"),
    Tls = ["-proto_dist", "inet_tls", "-ssl_dist_optfile", Conf],
    [
        begin
            App = tb_lib:daemon(app, #{host => "127.0.0.2", flags => Theirs}),
            Config = [{tiebeam, [{discovery, [{dns_cluster, [{source, {nodes, ['app@127.0.0.2']}}, {interval, 200}]}]}]}],
            Finder = tb_lib:daemon(finder, #{host => "127.0.0.1", flags => Ours, config => Config}),
            try
                wait_output(Finder, "not_connected\\] \\[dns_cluster\\] app@127.0.0.2: " ++ Text ++ "; does it "),
                ?assertMatch(#{errors := [{Cause, _}], last_error := {Cause, _}}, info_by_verb(#{flags => Ours}))
            after
                tb_lib:stop(Finder),
                tb_lib:stop(App)
            end
        end
     || {Ours, Theirs, Text, Cause} <- [
            {[], Tls, "the peer closed the connection", connection_closed},
            {Tls, [], "TLS was refused, or broke", tls_error}
        ]
    ].

names_mixed() ->
    Short = short("app", [], []),
    try
        wait_output(Short, "\n  try "),
        Instance = [{source, {dns, "app.test"}}, {basename, "app"}, {interval, 200}],
        with_dns(#{hosts => [{address(2), "app.test"}]}, fun(Dns) ->
            with_finder([{nameservers, [tb_dns:address(Dns)]} | Instance], 1, #{args => []}, fun(Finder) ->
                {ok, Host} = inet:gethostname(),
                wait_output(Finder, "app@127.0.0.2: calls itself app@" ++ Host ++ ": start with -sname tiebeam@" ++ Host ++ " to join"),
                ?assertMatch(#{errors := [{wrong_name, _}], last_error := {wrong_name, _}}, info()),
                rounds(5),
                ?assertEqual(1, count(Finder, "calls itself"))
            end)
        end)
    after
        tb_lib:stop(Short)
    end.

verbs() ->
    with_dns(#{hosts => [{address(N), "app.test"} || N <- [2, 3]]}, fun(Dns) ->
        with_apps([3], fun(Port) ->
            with_finder(dns(Dns, [{interval, none}]), Port, fun(_) ->
                ?assertMatch({1, "{error,timeout}\n", ""}, verb(["await", "1", "--timeout", "1"])),
                Failed = "app@127.0.0.2: econnrefused\n",
                ?assertEqual({0, "app@127.0.0.3\n" ++ Failed, ""}, verb(["discover"])),
                ?assertEqual(
                    {0, "{\"connected\":[\"app@127.0.0.3\"],\"failed\":{\"app@127.0.0.2\":\"econnrefused\"}}\n", ""},
                    verb(["discover", "dns_cluster", "--json"])
                ),
                ?assertEqual({0, "ok\n", ""}, verb(["await", "1"])),
                ?assertMatch({2, "", "Usage" ++ _}, verb(["await", "x"])),
                ?assertMatch({1, "", _}, verb(["discover", "nobody"]))
            end)
        end)
    end).

verb(Words) ->
    tb_lib:run(tb_lib:binary(), Words ++ ["--node", atom_to_list(?FINDER), "-setcookie", tb_lib:cookie()], []).

%% Requests at 25 ms: the timer's rounds come all the same, and none sooner.
manual_round() ->
    with_dns(#{hosts => [{address(2), "app.test"}]}, fun(Dns) ->
        with_finder(dns(Dns, [{interval, 2000}, {log, off}]), 1, fun(_) ->
            tb_lib:until(fun() -> ask(has_ran) end),
            #{rounds := Before} = info(),
            [ask(discover_nodes) || _ <- lists:seq(1, 20)],
            #{rounds := After} = info(),
            %% one of its own may be among them, if somebody stands still
            ?assert(After - Before >= 20),
            ?assert(After - Before =< 30),
            Start = erlang:monotonic_time(millisecond),
            tb_lib:until(fun() -> maps:get(rounds, info()) > After end),
            ?assert(erlang:monotonic_time(millisecond) - Start =< 30000)
        end)
    end).

%% Those that stay as they are go on undisturbed.
reload() ->
    File = tb_lib:tmp("finder.config"),
    Write = fun(Instances) ->
        ok = file:write_file(File, io_lib:format("~tp.~n", [[{tiebeam, [{discovery, Instances}]}]]))
    end,
    Nodes = fun(N) -> {source, {nodes, [node_at(N)]}} end,
    with_apps([2, 3], fun(Port) ->
        Instances = [{dns_cluster, [{source, {nodes, []}}, {interval, none}]}, {stays, [Nodes(2), {interval, 100}]}, {goes, [{source, ignore}]}],
        with_finder([], Port, #{config => [{tiebeam, [{discovery, Instances}]}]}, fun(Finder) ->
            tb_lib:until(fun() -> gen_server:call({stays, ?FINDER}, has_ran) end),
            Stays = tb_lib:pid_of(?FINDER, stays),
            Write([{dns_cluster, [Nodes(3), {interval, 100}]}, {stays, [Nodes(2), {interval, 100}]}, {comes, [Nodes(2), {interval, none}]}]),
            tb_lib:signal(Finder, "HUP"),
            wait_output(Finder, "config.changed\\] key=discovery.dns_cluster\n"),
            wait_output(Finder, "config.changed\\] key=discovery.goes stopped\n"),
            wait_output(Finder, "config.changed\\] key=discovery.comes started\n"),
            wait_output(Finder, "discovery.connected\\] \\[dns_cluster\\] app@127.0.0.3"),
            ?assertMatch(#{interval := 100, source := nodes}, info()),
            ?assertMatch({[_, _], []}, connected(gen_server:call({comes, ?FINDER}, discover_nodes))),
            ?assertEqual(undefined, tb_lib:pid_of(?FINDER, goes)),
            ?assertEqual(Stays, tb_lib:pid_of(?FINDER, stays)),
            ?assertEqual(0, count(Finder, "key=discovery.stays")),
            %% of an error nothing is taken
            Write([{dns_cluster, [{interval, 1}]}]),
            tb_lib:signal(Finder, "HUP"),
            wait_output(Finder, "config.refused\\] .*discovery.interval: expected milliseconds"),
            ?assertEqual(Stays, tb_lib:pid_of(?FINDER, stays)),
            %% a process that ends is started with the options of now
            exit(tb_lib:pid_of(?FINDER, dns_cluster), kill),
            tb_lib:until(fun() -> outcome_info() =:= {nodes, 100} end),
            %% one that was gone comes back
            Write([{goes, [Nodes(2), {interval, 100}]}]),
            tb_lib:signal(Finder, "HUP"),
            wait_output(Finder, "key=discovery.goes started"),
            tb_lib:until(fun() -> gen_server:call({goes, ?FINDER}, has_ran) end),
            tb_lib:until(fun() -> tb_lib:pid_of(?FINDER, stays) =:= undefined end)
        end)
    end).

outcome_info() ->
    try info() of
        #{source := Source, interval := Interval} -> {Source, Interval}
    catch
        exit:_ -> down
    end.

%% It accepts, and says nothing until the dial is given up, after seven seconds.
silent_address() ->
    with_apps([2], fun(Port) ->
        {ok, Listener} = gen_tcp:listen(Port, [{ip, {127, 0, 0, 9}}]),
        Dns = tb_dns:bad(#{a => [{127, 0, 0, 9}]}),
        Instance = [{source, {dns, "app.test"}}, {basename, "app"}, {nameservers, [tb_dns:bad_address(Dns)]}, {interval, 200}],
        with_finder(Instance, Port, fun(Finder) ->
            rounds(2),
            ok = tb_dns:answer(Dns, #{a => [{127, 0, 0, 9}, {127, 0, 0, 2}]}),
            Start = erlang:monotonic_time(millisecond),
            tb_lib:until(fun() -> maps:get(connected, info()) =:= 1 end),
            ?assert(erlang:monotonic_time(millisecond) - Start =< 6000), % less than the dial takes
            %% whoever asks by hand waits for it
            ?assertEqual({[node_at(2)], [{node_at(9), timeout}]}, connected(ask(discover_nodes))),
            wait_output(Finder, "not_connected\\] \\[dns_cluster\\] app@127.0.0.9: no answer in time"),
            ?assertEqual(1, count(Finder, "app@127.0.0.9: no answer in time"))
        end),
        ok = gen_tcp:close(Listener),
        tb_dns:end_bad(Dns)
    end).
