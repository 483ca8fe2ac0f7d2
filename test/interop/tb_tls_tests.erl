%% tb_tls_tests - distribution over TLS with real certificates: both roles, who
%% is let in and who is not, options, renewal. This VM is a node over TLS, see
%% tb_variant; the whole table suite runs over TLS besides.
-module(tb_tls_tests).
-include_lib("eunit/include/eunit.hrl").

-define(TIMEOUT, 300).
-define(USAGE, 2).

-spec tls_test_() -> tuple().
tls_test_() ->
    {setup, fun() -> tb_lib:join(tls) end, fun tb_lib:leave/1, [
        {timeout, ?TIMEOUT, {Title, Case}}
     || {Title, Case} <- tb_lib:chosen(cases())
    ]}.

cases() ->
    [
        {"either side dials", fun either_side/0},
        {"every pair of versions that have one in common", fun versions/0},
        {"versions that have none in common", fun no_common_version/0},
        {"inet6_tls", fun inet6_tls/0},
        {"options as flags", fun options_as_flags/0},
        {"a server of another authority, host or time is not joined", fun bad_servers/0},
        {"server_name_indication: another name, or any", fun server_names/0},
        {"clients without a certificate, or of another authority", fun bad_clients/0},
        {"verify_none lets both in", fun verify_none/0},
        {"TLS and plain TCP name each other", fun plain_and_tls/0},
        {"ciphers", fun ciphers/0},
        {"a key with a password", fun passwords/0},
        {"options that are wrong or not known", fun wrong_options/0},
        {"files that cannot be used", fun wrong_files/0},
        {"certificates are renewed, connections stay", fun renewal/0},
        {"what renewal refuses changes nothing", fun renewal_refused/0},
        {"a peer that reads slowly gets all of it", fun slow_reader/0},
        {"both sides send 8 MiB messages at once", fun both_ways/0},
        {"handshakes that are cut, silent or garbage", fun bad_handshakes/0},
        {"key updates without end", fun key_updates/0},
        {"the ping verb", fun ping_verb/0}
    ].

%% --------------------------------------------------------------- optfiles

cert(File) ->
    filename:join(os:getenv("TB_CERTS"), File).

%% The options of one role, less Without and with With.
role(With, Without) ->
    Usual = [
        {certfile, cert("node.pem")},
        {keyfile, cert("node.key")},
        {cacertfile, cert("ca.pem")},
        {verify, verify_peer},
        {versions, ['tlsv1.3', 'tlsv1.2']}
    ],
    Kept = [O || {K, _} = O <- Usual, not lists:member(K, Without), not lists:keymember(K, 1, With)],
    Kept ++ With.

roles(Server, Client) ->
    [{server, role([{fail_if_no_peer_cert, true} | Server], [])}, {client, role(Client, [])}].

%% A file of such options, as flags for erl and tiebeam.
flags(Roles) ->
    ["-proto_dist", "inet_tls", "-ssl_dist_optfile", optfile(Roles)].

optfile(Roles) ->
    Text = io_lib:format("~p.~n", [Roles]),
    File = tb_lib:tmp("opt." ++ integer_to_list(erlang:unique_integer([positive])) ++ ".conf"),
    ok = file:write_file(File, Text),
    File.

certificate(Name) ->
    [{certfile, cert(Name ++ ".pem")}, {keyfile, cert(Name ++ ".key")}].

%% -------------------------------------------------------------- with nodes

%% What the daemon says of an attempt to connect to a BEAM node.
connect(N, B) ->
    case tb_lib:call(N, {connect, B}) of
        {error, {tls_error, Why}} when is_binary(Why) -> {error, tls_error};
        Result -> Result
    end.

%% ------------------------------------------------------------------- cases

either_side() ->
    tb_lib:with_daemon(either, #{}, fun(_, N) ->
        ?assertEqual(pong, net_adm:ping(N)),
        ?assertEqual(true, erlang:disconnect_node(N)),
        tb_lib:until(fun() -> not lists:member(N, nodes(hidden)) end),
        tb_lib:with_beam(dialled, #{}, fun(_, B) ->
            ?assertEqual(ok, connect(N, B)),
            ?assertEqual([x], [x || N1 <- rpc:call(B, erlang, nodes, [hidden]), N1 =:= N]),
            ?assertEqual(y, rpc:call(B, gen_server, call, [{tiebeam, N}, {echo, y}]))
        end)
    end).

versions() ->
    All = ['tlsv1.2', 'tlsv1.3'],
    [
        tb_lib:with_daemon(versions, #{flags => with_versions(Ours)}, fun(_, N) ->
            dials(with_versions(Theirs), N, "pong"),
            tb_lib:with_beam(version, #{flags => with_versions(Theirs)}, fun(_, B) ->
                ?assertEqual(ok, connect(N, B))
            end),
            {ok, Socket} = tls_connect(N, [{versions, [Version]}]),
            ?assertEqual({ok, [{protocol, Version}]}, ssl:connection_information(Socket, [protocol])),
            ssl:close(Socket)
        end)
     || {Ours, Theirs, Version} <- [
            {All, ['tlsv1.2'], 'tlsv1.3'},
            {['tlsv1.2'], All, 'tlsv1.2'},
            {['tlsv1.3'], All, 'tlsv1.3'}
        ]
    ].

with_versions(Versions) ->
    flags(roles([{versions, Versions}], [{versions, Versions}])).

%% Another BEAM pings the daemon.
dials(Flags, N, Expected) ->
    Code = lists:flatten(io_lib:format("io:format(\"~~p~~n\", [net_adm:ping(~p)])", [N])),
    tb_lib:with_beam(dialling, #{flags => Flags, args => ["-eval", Code]}, fun(Beam, _) ->
        tb_lib:wait_output(Beam, "\n" ++ Expected ++ "\n")
    end).

no_common_version() ->
    tb_lib:with_daemon(new, #{flags => with_versions(['tlsv1.3'])}, fun(Daemon, N) ->
        Old = [{versions, ['tlsv1.2']}],
        tb_lib:with_beam(old, #{flags => flags(roles(Old, Old))}, fun(_, B) ->
            ?assertEqual({error, tls_error}, connect(N, B)),
            tb_lib:wait_output(Daemon, "node.connect_failed\\] node=old@.* reason=tls_error: .*protocol version"),
            {error, _} = tls_connect(N, Old),
            tb_lib:wait_output(Daemon, "conn.refused.* reason=tls_error: .*protocol")
        end)
    end).

inet6_tls() ->
    Flags = ["-proto_dist", "inet6_tls", "-ssl_dist_optfile", cert("tls1.3.conf")],
    tb_lib:with_daemon(six, #{host => "::1", flags => Flags}, fun(_, N) ->
        Code = io_lib:format("io:format(\"~~p~~n\", [gen_server:call({tiebeam, ~p}, {echo, six})])", [N]),
        tb_lib:with_beam(asking6, #{host => "::1", flags => Flags, args => ["-eval", lists:flatten(Code)]}, fun(Beam, _) ->
            tb_lib:wait_output(Beam, "\nsix\n")
        end)
    end).

options_as_flags() ->
    Options = [
        [Role ++ "_certfile", cert("node.pem"), Role ++ "_keyfile", cert("node.key")] ++
            [Role ++ "_cacertfile", cert("ca.pem"), Role ++ "_verify", "verify_peer"]
     || Role <- ["server", "client"]
    ],
    Flags =
        ["-proto_dist", "inet_tls", "-ssl_dist_opt"] ++ lists:append(Options) ++
            ["-ssl_dist_opt", "server_fail_if_no_peer_cert", "true", "server_depth", "1"],
    tb_lib:with_daemon(flagged, #{flags => Flags}, fun(_, N) ->
        ?assertEqual(pong, net_adm:ping(N)),
        tb_lib:with_beam(flagged_beam, #{flags => Flags}, fun(_, B) ->
            ?assertEqual(ok, connect(N, B))
        end)
    end).

bad_servers() ->
    tb_lib:with_daemon(careful, #{}, fun(Daemon, N) ->
        [
            tb_lib:with_beam(list_to_atom("bad_" ++ Name), #{flags => flags(roles(certificate(Name), certificate(Name)))}, fun(_, B) ->
                ?assertEqual({error, tls_error}, connect(N, B)),
                tb_lib:wait_output(Daemon, "node=bad_" ++ Name ++ "@.* reason=tls_error: the certificate: " ++ Why)
            end)
         || {Name, Why} <- [
                {"foreign", "unable to get local issuer"},
                {"wrong_host", "hostname mismatch"},
                {"expired", "certificate has expired"}
            ]
        ]
    end).

server_names() ->
    Other = #{flags => flags(roles(certificate("wrong_host"), []))},
    [
        tb_lib:with_daemon(Name, #{flags => flags(roles([], [{server_name_indication, Sni}]))}, fun(_, N) ->
            tb_lib:with_beam(elsewhere, Other, fun(_, B) ->
                ?assertEqual(Result, connect(N, B))
            end)
        end)
     || {Name, Sni, Result} <- [
            {sni_other, "elsewhere.example", ok},
            {sni_any, disable, ok},
            {sni_wrong, "nowhere.example", {error, tls_error}}
        ]
    ].

bad_clients() ->
    tb_lib:with_daemon(strict, #{}, fun(Daemon, N) ->
        [
            begin
                refused(N, Options),
                tb_lib:wait_output(Daemon, "conn.refused\\] from=127.0.0.1 name= reason=tls_error: " ++ Why)
            end
         || {Options, Why} <- [
                {[{certfile, none}], "peer did not return a certificate"},
                {certificate("foreign"), "the certificate: unable to get local issuer"},
                {certificate("expired"), "the certificate: certificate has expired"}
            ]
        ],
        ?assertEqual(pong, net_adm:ping(N))
    end),
    %% and a daemon without one is told so
    None = [{server, role([], [])}, {client, role([], [certfile, keyfile])}],
    tb_lib:with_daemon(bare, #{flags => flags(None)}, fun(Daemon, N) ->
        tb_lib:with_beam(demanding, #{}, fun(_, B) ->
            ?assertEqual({error, tls_error}, connect(N, B)),
            tb_lib:wait_output(Daemon, "node=demanding@.* reason=tls_error: .*certificate required")
        end)
    end),
    %% the same is said where ours would not have verified its own
    Careless = [{server, role([], [])}, {client, [{verify, verify_none}]}],
    tb_lib:with_daemon(careless, #{flags => flags(Careless)}, fun(Daemon, N) ->
        tb_lib:with_beam(demanding, #{}, fun(_, B) ->
            ?assertEqual({error, tls_error}, connect(N, B)),
            tb_lib:wait_output(Daemon, "node=demanding@.* reason=tls_error: .*certificate required")
        end)
    end).

%% With TLS 1.3 a client learns of its refusal when it reads.
refused(N, Options) ->
    case tls_connect(N, Options) of
        {ok, Socket} ->
            {error, _} = ssl:recv(Socket, 0, 5000),
            ssl:close(Socket);
        {error, _} ->
            ok
    end.

%% As a client with our own certificate, or with these options.
tls_connect(N, Options) ->
    {ok, _} = application:ensure_all_started(ssl),
    [Alive, _] = string:split(atom_to_list(N), "@"),
    {ok, Names} = tb_raw:names(tb_lib:epmd_port()),
    {Alive, Port} = lists:keyfind(Alive, 1, Names),
    Role = [O || {_, V} = O <- role(Options, []), V =/= none],
    Usable = [O || {K, _} = O <- Role, K =/= keyfile orelse lists:keymember(certfile, 1, Role)],
    ssl:connect("localhost", Port, [binary, {active, false}, {packet, 4} | Usable], 5000).

verify_none() ->
    None = [{verify, verify_none}],
    Roles = [{server, role(None, [cacertfile])}, {client, role(None, [cacertfile])}],
    Beam = flags([{R, O ++ certificate("foreign")} || {R, O} <- [{server, role(None, [certfile, keyfile])}, {client, role(None, [certfile, keyfile])}]]),
    tb_lib:with_daemon(open, #{flags => flags(Roles)}, fun(_, N) ->
        tb_lib:with_beam(stranger, #{flags => Beam}, fun(_, B) ->
            ?assertEqual(ok, connect(N, B))
        end)
    end).

plain_and_tls() ->
    tb_lib:with_daemon(secure, #{args => ["-kernel", "net_setuptime", "1"]}, fun(Daemon, N) ->
        tb_lib:with_beam(plain, #{flags => []}, fun(_, B) ->
            %% to it our hello is the length of a longer message
            ?assertEqual({error, timeout}, connect(N, B)),
            tb_lib:wait_output(Daemon, "node=plain@.* reason=timeout: the TLS handshake was not answered")
        end),
        dials([], N, "pang"),
        tb_lib:wait_output(Daemon, "conn.refused.* reason=tls_error: wrong version number")
    end),
    tb_lib:with_daemon(clear, #{flags => []}, fun(Daemon, N) ->
        dials([], N, "pong"),
        ?assertEqual(pang, net_adm:ping(N)),
        tb_lib:wait_output(Daemon, "conn.refused.* reason=tls_error: the peer speaks TLS")
    end).

ciphers() ->
    One = [{ciphers, ["TLS_CHACHA20_POLY1305_SHA256", "ECDHE-RSA-AES128-GCM-SHA256"]}],
    tb_lib:with_daemon(choosy, #{flags => flags(roles(One, One))}, fun(_, N) ->
        [
            begin
                {ok, Socket} = tls_connect(N, [{versions, [Version]}]),
                {ok, [{selected_cipher_suite, Suite}]} = ssl:connection_information(Socket, [selected_cipher_suite]),
                ?assertEqual(Expected, ssl:suite_to_openssl_str(Suite)),
                ssl:close(Socket)
            end
         || {Version, Expected} <- [
                {'tlsv1.3', "TLS_CHACHA20_POLY1305_SHA256"},
                {'tlsv1.2', "ECDHE-RSA-AES128-GCM-SHA256"}
            ]
        ]
    end),
    %% without a suite for it a version is not spoken; RFC names are names too
    New = [{ciphers, ["TLS_AES_128_GCM_SHA256"]}],
    tb_lib:with_daemon(newest, #{flags => flags(roles(New, New))}, fun(_, N) ->
        ?assertMatch({error, _}, tls_connect(N, [{versions, ['tlsv1.2']}])),
        ?assertEqual(pong, net_adm:ping(N))
    end),
    %% and the last of a long list counts
    Old = [{ciphers, lists:duplicate(90, "ECDHE-ECDSA-AES128-GCM-SHA256") ++ ["TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"]}],
    tb_lib:with_daemon(oldest, #{flags => flags(roles(Old, Old))}, fun(_, N) ->
        ?assertMatch({error, _}, tls_connect(N, [{versions, ['tlsv1.3']}])),
        {ok, Socket} = tls_connect(N, [{versions, ['tlsv1.2']}]),
        ssl:close(Socket)
    end).

passwords() ->
    Locked = [{keyfile, cert("locked.key")}],
    Good = [{password, "secret"} | Locked],
    tb_lib:with_daemon(locked, #{flags => flags(roles(Good, Good))}, fun(_, N) ->
        ?assertEqual(pong, net_adm:ping(N))
    end),
    refused_at_start(flags(roles([{password, "wrong"} | Locked], Good)), "server keyfile .*locked.key: "),
    refused_at_start(flags(roles(Locked, Good)), "server keyfile .*locked.key: ").

%% The daemon ends with a usage error whose text matches.
refused_at_start(Flags, Pattern) ->
    Args = ["-sname", "refused", "-setcookie", "x" | Flags],
    {Status, _, Text} = tb_lib:run(tb_lib:binary(), Args, []),
    ?assertEqual({?USAGE, {match, [{0, 1}]}}, {Status, matches(Text, Pattern)}),
    ok.

%% Shows the text where it does not match.
matches(Text, Pattern) ->
    case re:run(Text, Pattern) of
        {match, _} -> {match, [{0, 1}]};
        nomatch -> {Text, Pattern}
    end.

wrong_options() ->
    [
        refused_at_start(flags([{server, role(Server, [])}, {client, role(Client, [])}]), "conf:[0-9]+: " ++ Pattern)
     || {Server, Client, Pattern} <- [
            {[{verify_fun, {a, b}}], [], "server.verify_fun: not supported"},
            {[{reuse_sessions, true}], [], "server.reuse_sessions: not supported"},
            {[{certfiel, "x"}], [], "server.certfiel: not supported, did you mean certfile\\?"},
            {[{verify, yes}], [], "server.verify: expected verify_peer or verify_none"},
            {[{depth, -1}], [], "server.depth: expected an integer in 0..255"},
            {[{secure_renegotiate, false}], [], "server.secure_renegotiate: expected true"},
            {[{server_name_indication, "x"}], [], "server.server_name_indication: not an option of a server"},
            {[], [{fail_if_no_peer_cert, true}], "client.fail_if_no_peer_cert: not an option of a client"},
            {[], [{versions, ['tlsv1.1']}], "client.versions: expected a list of"},
            {[], [{ciphers, []}], "client.ciphers: expected a list of names"}
        ]
    ],
    refused_at_start(flags([{sever, []}]), "conf:1: .*expected server or client, found sever"),
    refused_at_start(flags(roles([{ciphers, ["NO-SUCH-SUITE"]}], [])), "server ciphers NO-SUCH-SUITE: "),
    Apart = [{versions, ['tlsv1.3']}, {ciphers, ["ECDHE-RSA-AES128-GCM-SHA256"]}],
    refused_at_start(flags(roles(Apart, [])), "server ciphers: none is of the versions"),
    %% as ssl has it: who asks for certificates has to look at them
    refused_at_start(flags(roles([{verify, verify_none}], [])), "server fail_if_no_peer_cert needs verify verify_peer"),
    Broken = tb_lib:tmp("broken.conf"),
    ok = file:write_file(Broken, "[{server,\n [{certfile \"x\"}]}].\n"),
    Tls = ["-proto_dist", "inet_tls"],
    refused_at_start(Tls ++ ["-ssl_dist_optfile", Broken], "broken.conf:2: "),
    refused_at_start(Tls ++ ["-ssl_dist_optfile", "/no/such/file"], "cannot read /no/such/file"),
    refused_at_start(Tls ++ ["-ssl_dist_opt", "certfile", "x"], "ssl_dist_opt certfile: expected server_Option"),
    refused_at_start(Tls ++ ["-ssl_dist_opt", "server_hibernate_after", "1"], "server_hibernate_after: not supported"),
    refused_at_start(Tls ++ ["-ssl_dist_opt", "server_certfile"], "needs a value after each name"),
    refused_at_start(Tls, "client verify verify_peer needs a cacertfile"),
    refused_at_start(["-ssl_dist_optfile", cert("tls1.3.conf")], "proto_dist is inet_tcp: use -proto_dist inet_tls").

wrong_files() ->
    None = cert("no_such.pem"),
    [
        refused_at_start(flags(roles(Server, [])), Pattern)
     || {Server, Pattern} <- [
            {[{certfile, None}], "server certfile .*no_such.pem: No such file"},
            {[{keyfile, None}], "server keyfile .*no_such.pem: No such file"},
            {[{cacertfile, None}], "server cacertfile .*no_such.pem: No such file"},
            {[{certfile, cert("node.key")}], "server certfile .*node.key: "},
            {[{keyfile, cert("renewed.key")}], "server keyfile .*renewed.key: key values mismatch"}
        ]
    ],
    refused_at_start(flags([{server, role([], [certfile, keyfile])}, {client, role([], [])}]), "server certfile is missing").

%% -------------------------------------------------------------- renewal

copy(From, To) ->
    [{ok, _} = file:copy(cert(From ++ E), cert(To ++ E)) || E <- [".pem", ".key"]].

serial_of(N) ->
    {ok, Socket} = tls_connect(N, []),
    {ok, Der} = ssl:peercert(Socket),
    ok = ssl:close(Socket),
    crypto:hash(sha256, Der).

serial_in(Name) ->
    {ok, Pem} = file:read_file(cert(Name ++ ".pem")),
    [{'Certificate', Der, _} | _] = public_key:pem_decode(Pem),
    crypto:hash(sha256, Der).

renewal() ->
    copy("node", "live"),
    Live = certificate("live"),
    tb_lib:with_daemon(renewed, #{flags => flags(roles(Live, Live))}, fun(Daemon, N) ->
        pong = net_adm:ping(N),
        true = erlang:monitor_node(N, true),
        ?assertEqual(serial_in("node"), serial_of(N)),
        copy("renewed", "live"),
        tb_lib:signal(Daemon, "HUP"),
        tb_lib:wait_output(Daemon, "tls.renewed"),
        ?assertEqual(serial_in("renewed"), serial_of(N)),
        ?assertEqual(still_up, tb_lib:call(N, {echo, still_up})),
        true = erlang:monitor_node(N, false),
        ?assertEqual([], tb_lib:flush())
    end).

renewal_refused() ->
    copy("node", "live"),
    Live = certificate("live"),
    tb_lib:with_daemon(kept, #{flags => flags(roles(Live, Live))}, fun(Daemon, N) ->
        pong = net_adm:ping(N),
        {ok, _} = file:copy(cert("renewed.key"), cert("live.key")),
        tb_lib:signal(Daemon, "HUP"),
        tb_lib:wait_output(Daemon, "tls.refused\\] .*keyfile .*live.key: key values mismatch"),
        ?assertEqual(serial_in("node"), serial_of(N)),
        ?assertEqual(kept, tb_lib:call(N, {echo, kept}))
    end).

%% ----------------------------------------------------------------- traffic

%% Enough to fill every buffer on the way before the first byte is read.
slow_reader() ->
    tb_lib:with_daemon(slow, #{}, fun(_, N) ->
        Peer = tb_raw:connect(N, list_to_atom(tb_lib:name(slow_raw) ++ "@" ++ tb_lib:host())),
        Big = binary:copy(<<"0123456789abcdef">>, 512 * 1024),
        Us = tb_raw:pid(Peer, 1),
        Refs = [tb_raw:ref(Peer, I) || I <- lists:seq(1, 4)],
        %% once its replies fill the way back, the daemon reads no more of these
        Ask = fun(Ref) -> ok = tb_raw:send(Peer, {6, Us, '', tiebeam}, {'$gen_call', {Us, Ref}, {echo, Big}}) end,
        _ = spawn_link(fun() -> lists:foreach(Ask, Refs) end),
        ?assertEqual(x, tb_lib:call(N, {echo, x})),
        [?assertEqual({Ref, Big}, element(2, recv_message(Peer))) || Ref <- Refs],
        tb_raw:close(Peer)
    end).

recv_message(Peer) ->
    case tb_raw:recv(Peer) of
        {_, _} = Message -> Message;
        {_} -> recv_message(Peer)
    end.

both_ways() ->
    tb_lib:with_daemon(busy, #{}, fun(_, N) ->
        Big = crypto:strong_rand_bytes(8 * 1024 * 1024),
        Self = self(),
        Callers = [spawn_link(fun() -> Self ! {self(), tb_lib:call(N, {echo, Big}) =:= Big} end) || _ <- lists:seq(1, 6)],
        [
            receive
                {Caller, Same} -> ?assert(Same)
            end
         || Caller <- Callers
        ],
        ?assertEqual(x, tb_lib:call(N, {echo, x}))
    end).

%% ----------------------------------------------------------------- hostile

bad_handshakes() ->
    tb_lib:with_daemon(target, #{args => ["-kernel", "net_setuptime", "1"]}, fun(Daemon, N) ->
        pong = net_adm:ping(N),
        Fds = tb_lib:fds(Daemon),
        [Alive, _] = string:split(atom_to_list(N), "@"),
        {ok, Names} = tb_raw:names(tb_lib:epmd_port()),
        {Alive, Port} = lists:keyfind(Alive, 1, Names),
        Hello = <<22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3>>,
        Sockets = [
            begin
                {ok, S} = gen_tcp:connect("localhost", Port, [binary, {active, false}]),
                _ = gen_tcp:send(S, Bytes),
                S
            end
         || _ <- lists:seq(1, 25),
            Bytes <- [Hello, <<>>, crypto:strong_rand_bytes(300), <<22, 3, 3, 255, 255>>, <<0, 0, 0, 1>>]
        ],
        ?assertEqual(x, tb_lib:call(N, {echo, x})),
        [?assertMatch({error, _}, drained(S)) || S <- Sockets],
        tb_lib:until_equal(Fds, fun() -> tb_lib:fds(Daemon) end),
        ?assertEqual(pong, net_adm:ping(N))
    end).

drained(Socket) ->
    case gen_tcp:recv(Socket, 0, 10000) of
        {ok, _} -> drained(Socket);
        {error, timeout} -> open;
        Error -> Error
    end.

%% Each asks for one in return; who reads none of them gets no more than a
%% bounded number.
key_updates() ->
    tb_lib:with_daemon(updated, #{}, fun(Daemon, N) ->
        pong = net_adm:ping(N),
        {ok, Socket} = tls_connect(N, [{versions, ['tlsv1.3']}]),
        Before = resident(Daemon),
        Result = update_keys(Socket, 2000),
        ?assertEqual(x, tb_lib:call(N, {echo, x})),
        ssl:close(Socket),
        ?assert(tb_lib:is_sanitized(Daemon) orelse resident(Daemon) - Before < 4096),
        Result
    end).

update_keys(_, 0) ->
    ok;
update_keys(Socket, N) ->
    case ssl:update_keys(Socket, read_write) of
        ok -> update_keys(Socket, N - 1);
        {error, _} -> ok
    end.

%% KiB
resident(Program) ->
    {ok, Text} = file:read_file("/proc/" ++ integer_to_list(tb_lib:os_pid(Program)) ++ "/status"),
    {match, [Kb]} = re:run(Text, "VmRSS:\\s+([0-9]+)", [{capture, all_but_first, list}]),
    list_to_integer(Kb).

ping_verb() ->
    tb_lib:with_daemon(pinged, #{}, fun(_, N) ->
        Args = ["-setcookie", tb_lib:cookie(), "ping", atom_to_list(N)],
        {0, "pong" ++ _, ""} = tb_lib:run(tb_lib:binary(), tb_variant:flags(x) ++ Args, []),
        {1, "pang" ++ _, Err} = tb_lib:run(tb_lib:binary(), Args, []),
        ?assertMatch({match, _}, re:run(Err, "TLS")),
        Other = flags(roles([], [{server_name_indication, "nowhere.example"}])),
        {1, "pang" ++ _, Why} = tb_lib:run(tb_lib:binary(), Other ++ Args, []),
        ?assertMatch({match, _}, re:run(Why, "the certificate: hostname mismatch"))
    end).
