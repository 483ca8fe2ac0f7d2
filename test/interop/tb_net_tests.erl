%% tb_net_tests - where a daemon listens, and how it finds the port of others:
%% ranges, interfaces, IPv6, nodes that no epmd knows. The whole table suite
%% runs over IPv6 and without epmd besides, see tb_variant.
-module(tb_net_tests).
-include_lib("eunit/include/eunit.hrl").

-define(TIMEOUT, 300).
-define(USAGE, 2).
-define(IN_USE, 75).

-spec net_test_() -> tuple().
net_test_() ->
    {setup, fun() -> tb_lib:join(net) end, fun tb_lib:leave/1, [
        {timeout, ?TIMEOUT, {Title, Case}}
     || {Title, Case} <- tb_lib:chosen(cases())
    ]}.

cases() ->
    [
        {"inet_dist_listen_min, inet_dist_listen_max", fun listen_range/0},
        {"inet_dist_listen_min alone is one port", fun listen_min/0},
        {"inet_dist_use_interface", fun use_interface/0},
        {"inet6_tcp, both sides dial", fun inet6/0},
        {"inet6_tcp on one interface", fun inet6_interface/0},
        {"inet6_tcp: a host with no such address", fun inet6_no_address/0},
        {"an address that cannot be reached", fun unreachable/0},
        {"erl_epmd_port: listed in epmd all the same", fun dist_port_listed/0},
        {"erl_epmd_port: an epmd is started, and waited for", fun dist_port_starts_epmd/0},
        {"erl_epmd_port: a name taken in epmd does not matter", fun dist_port_taken/0},
        {"ERL_DIST_PORT: no epmd is needed, none is started", fun dist_port_variable/0},
        {"peer_ports: a node, a host", fun peer_ports/0},
        {"peer_ports that are wrong", fun wrong_peer_ports/0}
    ].

kernel(Key, Value) ->
    ["-kernel", Key, Value].

text(N) ->
    integer_to_list(N).

port_of(N) ->
    maps:get(port, tb_lib:info(N)).

can_connect(Address, Port) ->
    case gen_tcp:connect(Address, Port, [], 2000) of
        {ok, Socket} ->
            ok = gen_tcp:close(Socket),
            true;
        {error, econnrefused} ->
            false
    end.

%% ---------------------------------------------------------------- listening

listen_range() ->
    Port = two_free_ports(),
    Args = kernel("inet_dist_listen_min", text(Port)) ++ kernel("inet_dist_listen_max", text(Port + 1)),
    tb_lib:with_daemon(first, #{args => Args}, fun(_, N1) ->
        tb_lib:with_daemon(second, #{args => Args}, fun(_, N2) ->
            ?assertEqual([Port, Port + 1], [port_of(N1), port_of(N2)]),
            Third = tb_lib:daemon(third, #{args => Args, ready => false}),
            tb_lib:wait_output(Third, "the port to listen on is in use"),
            ?assertEqual(?IN_USE, tb_lib:wait_exit(Third))
        end)
    end).

two_free_ports() ->
    Port = tb_lib:free_port(),
    case Port < 65535 andalso gen_tcp:listen(Port + 1, []) of
        {ok, Socket} ->
            ok = gen_tcp:close(Socket),
            Port;
        _ ->
            two_free_ports()
    end.

listen_min() ->
    Port = tb_lib:free_port(),
    Config = [{tiebeam, [{discovery, []}]}, {kernel, [{inet_dist_listen_min, Port}]}],
    tb_lib:with_daemon(only, #{config => Config}, fun(_, N) ->
        ?assertEqual(Port, port_of(N))
    end).

use_interface() ->
    tb_lib:with_daemon(one, #{args => kernel("inet_dist_use_interface", "{127,0,0,1}")}, fun(_, N) ->
        ?assert(can_connect({127, 0, 0, 1}, port_of(N))),
        ?assertNot(can_connect({127, 0, 0, 9}, port_of(N)))
    end),
    tb_lib:with_daemon(every, #{}, fun(_, N) ->
        ?assert(can_connect({127, 0, 0, 9}, port_of(N)))
    end),
    %% one of the other family
    [
        ?assertMatch(
            {?USAGE, "", "tiebeam: inet_dist_use_interface " ++ _},
            tb_lib:run(tb_lib:binary(), ["-proto_dist", Proto | kernel("inet_dist_use_interface", Address)], [])
        )
     || {Proto, Address} <- [{"inet_tcp", "::1"}, {"inet6_tcp", "{127,0,0,1}"}]
    ].

%% --------------------------------------------------------------------- IPv6

inet6_options() ->
    #{host => "::1", flags => ["-proto_dist", "inet6_tcp"]}.

inet6() ->
    tb_lib:with_daemon(six, inet6_options(), fun(_, N) ->
        asks(inet6_options(), N),
        %% found in the epmd of ::1, and dialled
        Config = [{tiebeam, [{discovery, [{six, [{source, {epmd, ["::1"]}}]}]}]}],
        tb_lib:with_daemon(finder, (inet6_options())#{config => Config}, fun(Finder, _) ->
            tb_lib:wait_output(Finder, "node.up\\] node=six@::1 type=hidden")
        end)
    end).

%% A BEAM pings the daemon and calls it.
asks(Options, N) ->
    Code = io_lib:format(
        "io:format(\"~~p ~~p~~n\", [net_adm:ping(~p), gen_server:call({tiebeam, ~p}, {echo, x})])", [N, N]
    ),
    tb_lib:with_beam(asking, Options#{args => maps:get(args, Options, []) ++ ["-eval", lists:flatten(Code)]}, fun(Beam, _) ->
        tb_lib:wait_output(Beam, "\npong x\n")
    end).

inet6_interface() ->
    Args = kernel("inet_dist_use_interface", "{0,0,0,0,0,0,0,1}"),
    tb_lib:with_daemon(six, (inet6_options())#{args => Args}, fun(_, N) ->
        {ok, Names} = tb_raw:names(tb_lib:epmd_port()),
        {"six", Port} = lists:keyfind("six", 1, Names),
        ?assertNot(can_connect({127, 0, 0, 1}, Port)),
        asks(inet6_options(), N)
    end).

inet6_no_address() ->
    Config = [{tiebeam, [{discovery, [{six, [{source, {nodes, ['a@127.0.0.1']}}]}]}]}],
    tb_lib:with_daemon(six, (inet6_options())#{config => Config}, fun(Daemon, _) ->
        tb_lib:wait_output(Daemon, "a@127.0.0.1: the host name does not resolve")
    end).

%% The kernel refuses it at once.
unreachable() ->
    {1, "pang" ++ _, Err} = tb_lib:run(tb_lib:binary(), ["-setcookie", "x", "ping", "a@255.255.255.255"], []),
    ?assertMatch({match, _}, re:run(Err, "a@255.255.255.255: Network is unreachable")).

%% ------------------------------------------------------------- without epmd

dist_port_listed() ->
    Port = tb_lib:free_port(),
    tb_lib:with_daemon(fixed, #{args => ["-erl_epmd_port", text(Port)]}, fun(_, N) ->
        ?assertEqual(pong, net_adm:ping(N)),
        ?assertMatch(#{port := Port, registered := true}, tb_lib:info(N))
    end).

dist_port_starts_epmd() ->
    Nowhere = tb_lib:free_port(),
    Options = #{args => ["-erl_epmd_port", text(tb_lib:free_port())], env => [{"ERL_EPMD_PORT", text(Nowhere)}]},
    tb_lib:with_daemon(starting, Options, fun(Daemon, _) ->
        ?assertMatch({ok, [{"starting", _}]}, tb_raw:names(Nowhere)),
        ?assertEqual(nomatch, re:run(tb_lib:output(Daemon), "not.registered"))
    end).

dist_port_taken() ->
    tb_lib:with_daemon(taken, #{}, fun(_, _) ->
        Options = #{host => "127.0.0.9", args => ["-erl_epmd_port", text(tb_lib:free_port())]},
        tb_lib:with_daemon(taken, Options, fun(Second, _) ->
            tb_lib:wait_output(Second, "epmd.not_registered\\] reason=name_in_use"),
            tb_lib:wait_output(Second, "not registered there")
        end)
    end).

dist_port_variable() ->
    Port = text(tb_lib:free_port()),
    Nowhere = tb_lib:free_port(),
    Env = [{"ERL_EPMD_PORT", text(Nowhere)}],
    Options = fun(Host, Address) ->
        #{host => Host, args => kernel("inet_dist_use_interface", Address)}
    end,
    Daemon = (Options("127.0.0.2", "{127,0,0,2}"))#{env => [{"ERL_DIST_PORT", Port} | Env]},
    tb_lib:with_daemon(variable, Daemon, fun(Program, N) ->
        tb_lib:wait_output(Program, "epmd.not_registered\\] reason=no_epmd"),
        ?assertEqual([], tb_lib:epmd_pids(Nowhere)),
        Args = ["-start_epmd", "false", "-erl_epmd_port", Port],
        Beam = Options("127.0.0.3", "{127,0,0,3}"),
        asks(Beam#{env => Env, args => Args ++ maps:get(args, Beam)}, N)
    end).

%% A BEAM that only another epmd knows.
peer_ports() ->
    Port = two_free_ports(),
    Epmd = tb_lib:start_epmd(Port + 1),
    Listen = kernel("inet_dist_listen_min", text(Port)) ++ kernel("inet_dist_listen_max", text(Port)),
    try
        tb_lib:with_beam(elsewhere, #{args => Listen, env => [{"ERL_EPMD_PORT", text(Port + 1)}]}, fun(_, B) ->
            tb_lib:with_daemon(without, #{}, fun(_, N) ->
                ?assertEqual({error, not_in_epmd}, tb_lib:call(N, {connect, B}))
            end),
            ByNode = ["--peer-ports", "nobody@nowhere=1," ++ atom_to_list(B) ++ "=" ++ text(Port)],
            tb_lib:with_daemon(by_node, #{args => ByNode}, fun(_, N) ->
                ?assertEqual(ok, tb_lib:call(N, {connect, B}))
            end),
            ByHost = [{tiebeam, [{discovery, []}, {peer_ports, [{'x@y', 1}, {tb_lib:host(), Port}]}]}],
            tb_lib:with_daemon(by_host, #{config => ByHost}, fun(_, N) ->
                ?assertEqual(ok, tb_lib:call(N, {connect, B}))
            end)
        end)
    after
        tb_lib:end_epmd(Epmd)
    end.

wrong_peer_ports() ->
    [
        ?assertMatch(
            {?USAGE, "", "tiebeam: --peer-ports: expected Node=Port or Host=Port" ++ _},
            tb_lib:run(tb_lib:binary(), ["--peer-ports", Text], [])
        )
     || Text <- ["x", "x=", "=1", "x=0", "x=65536", "x=1,", "x=1,,y=2", "x=1;y=2", "x=1x"]
    ],
    File = tb_lib:tmp("ports.config"),
    ok = file:write_file(File, "[{tiebeam,\n  [{peer_ports, [{a, b}]}]}].\n"),
    {?USAGE, "", Err} = tb_lib:run(tb_lib:binary(), ["check-config", File], []),
    ?assertMatch({match, _}, re:run(Err, "ports.config:2: tiebeam.peer_ports: expected Node=Port")).
