%% tb_bench_discovery - how soon a node is found that a name server begins to
%% tell of, and what a round with many addresses costs; beside tb_dnspoll.
%%
%% The nodes are app@127.0.0.N, all on one port and in no epmd. The one that
%% looks for others is a BEAM: with tb_dnspoll on it, or with a daemon attached.
-module(tb_bench_discovery).

-export([section/0]).

-define(INTERVAL, 1000).
-define(HUB, 'app@127.0.0.2').
-define(SILENT, {127, 0, 0, 3}).
-define(MANY, 1000).

-spec section() -> [tb_bench:figure()].
section() ->
    case tb_bench:chosen("discovery") of
        true ->
            tb_bench:note("discovery", []),
            among_long_names(fun() -> appearance() ++ many() end);
        false ->
            []
    end.

%% This VM has a short name otherwise.
among_long_names(Fun) ->
    Short = node(),
    Cookie = erlang:get_cookie(),
    ok = net_kernel:stop(),
    {ok, _} = net_kernel:start(['bench@127.0.0.1', longnames]),
    true = erlang:set_cookie(node(), Cookie),
    try
        Fun()
    after
        ok = net_kernel:stop(),
        {ok, _} = net_kernel:start([Short, shortnames]),
        true = erlang:set_cookie(node(), Cookie)
    end.

%% -------------------------------------------------------------- appearance

appearance() ->
    Port = tb_lib:free_port(),
    Announced = tb_raw:announce("app", Port),
    Hub = tb_lib:beam(app, #{host => "127.0.0.2", flags => flags(Port, 2)}),
    {ok, Silent} = gen_tcp:listen(Port, [{ip, ?SILENT}, {reuseaddr, true}]),
    true = net_kernel:hidden_connect_node(?HUB),
    Watch = rpc:call(?HUB, tb_dnspoll, watch, [self()]),
    receive watching -> ok end,
    try
        [
            begin
                Beam = [dnspoll(Port, Others, 10 + I, I) || I <- phases()],
                Ours = [attached(Port, Others, 10 + I, I) || I <- phases()],
                Name = "discovery: from DNS to connected" ++ Text ++ ", ms",
                {Name, "ms", tb_bench:median(Beam), tb_bench:median(Ours), none}
            end
         || {Others, Text} <- [{[], ""}, {[?SILENT], ", beside a silent address"}]
        ]
    after
        exit(Watch, kill),
        ok = gen_tcp:close(Silent),
        ok = gen_tcp:close(Announced),
        tb_lib:end_beam(Hub)
    end.

%% Moments between two rounds, evenly spread.
phases() ->
    lists:seq(0, tb_bench:rounds() - 1).

flags(Port, N) ->
    ["-start_epmd", "false", "-erl_epmd_port", integer_to_list(Port), "-kernel", "inet_dist_use_interface",
        "{127,0,0," ++ integer_to_list(N) ++ "}"].

dnspoll(Port, Others, N, Phase) ->
    measure(Port, Others, N, Phase, fun(Dns) ->
        Pid = rpc:call(?HUB, tb_dnspoll, start, ["app.test", "app", ?INTERVAL, server(Dns)]),
        fun() -> rpc:call(?HUB, tb_dnspoll, stop, [Pid]) end
    end).

attached(Port, Others, N, Phase) ->
    measure(Port, Others, N, Phase, fun(Dns) ->
        Instance = [
            {source, {dns, "app.test"}}, {attached, ?HUB}, {interval, ?INTERVAL}, {log, off},
            {nameservers, [tb_dns:bad_address(Dns)]}
        ],
        Daemon = tb_lib:daemon(finder, #{
            host => "127.0.0.1",
            config => [{tiebeam, [{discovery, [{dns_cluster, Instance}]}]}],
            flags => ["-erl_epmd_port", integer_to_list(Port), "-dist_listen", "false"]
        }),
        fun() -> tb_lib:stop(Daemon) end
    end).

%% Milliseconds from the first answer that could have had it until nodeup.
measure(Port, Others, N, Phase, Start) ->
    Last = integer_to_list(N),
    Peer = list_to_atom("app@127.0.0." ++ Last),
    Nowhere = [{"ERL_EPMD_PORT", integer_to_list(tb_lib:free_port())}],
    Program = tb_lib:daemon(app, #{host => "127.0.0." ++ Last, flags => flags(Port, N), env => Nowhere}),
    Dns = tb_dns:bad(#{a => [{127, 0, 0, 2} | Others]}),
    Stop = Start(Dns),
    timer:sleep(2 * ?INTERVAL + Phase * ?INTERVAL div tb_bench:rounds()),
    Begin = erlang:monotonic_time(microsecond),
    ok = tb_dns:answer(Dns, #{a => [{127, 0, 0, 2} | Others] ++ [{127, 0, 0, N}]}),
    receive {nodeup, Peer} -> ok after 60000 -> error({not_found, Peer}) end,
    Ms = (erlang:monotonic_time(microsecond) - Begin) / 1000,
    Stop(),
    tb_dns:end_bad(Dns),
    tb_lib:stop(Program),
    Ms.

server(Dns) ->
    ["127.0.0.1", Port] = string:split(tb_dns:bad_address(Dns), ":"),
    {{127, 0, 0, 1}, list_to_integer(Port)}.

%% -------------------------------------------------------------------- many

%% Addresses of this host where epmd answers, and knows no such node.
many() ->
    Hosts = [{lists:concat(["127.1.", I, ".", J]), "app.test"} || I <- lists:seq(1, 4), J <- lists:seq(1, 250)],
    Dns = tb_dns:start(#{hosts => Hosts}),
    Beam = tb_lib:beam(looker, #{host => "127.0.0.1", flags => []}),
    [Ip, DnsPort] = string:split(tb_dns:address(Dns), ":"),
    {ok, Address} = inet:parse_address(Ip),
    Server = {Address, list_to_integer(DnsPort)},
    Theirs = [
        begin
            {?MANY, Us} = rpc:call('looker@127.0.0.1', tb_dnspoll, round, ["app.test", "app", Server]),
            Us / 1000
        end
     || _ <- phases()
    ],
    tb_lib:end_beam(Beam),
    Instance = [{source, {dns, "app.test"}}, {basename, "app"}, {interval, none}, {log, off}, {nameservers, [tb_dns:address(Dns)]}],
    Daemon = tb_lib:daemon(finder, #{
        host => "127.0.0.1", flags => [], config => [{tiebeam, [{discovery, [{dns_cluster, Instance}]}]}]
    }),
    Tool = tb_bench:tool('none@none', 0),
    Pid = tb_lib:os_pid(Daemon),
    Rounds = [ours(Tool, Pid) || _ <- phases()],
    port_close(Tool),
    tb_lib:stop(Daemon),
    tb_dns:stop(Dns),
    Text = "discovery: a round, 1,000 addresses without such a node: ",
    [
        {Text ++ "ms", "ms", tb_bench:median(Theirs), tb_bench:median([Ms || {Ms, _} <- Rounds]), none},
        {Text ++ "own CPU, ms", "ms", none, tb_bench:median([Cpu || {_, Cpu} <- Rounds]), none}
    ].

ours(Tool, Pid) ->
    Cpu = tb_bench:cpu_ns(Tool, Pid),
    Start = erlang:monotonic_time(microsecond),
    {_, Failed} = gen_server:call({dns_cluster, 'finder@127.0.0.1'}, discover_nodes, 60000),
    ?MANY = length(Failed),
    Ms = (erlang:monotonic_time(microsecond) - Start) / 1000,
    {Ms, (tb_bench:cpu_ns(Tool, Pid) - Cpu) / 1.0e6}.
