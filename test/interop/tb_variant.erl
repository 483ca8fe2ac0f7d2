%% tb_variant - how the nodes of a suite reach each other, from $TB_VARIANT:
%%
%%   tcp (or nothing)   short names, an epmd of the suite's own
%%   tls, tls1.2, tls1.3   the same over TLS, certificates in $TB_CERTS
%%   inet6              names at ::1
%%   noepmd             no epmd at all: every node at an address of its own,
%%                      all on the port $TB_DIST_PORT
%%
%% run.sh gives the first node the same flags. Nothing here is newer than OTP 23.
-module(tb_variant).

-export([name/0, flags/1, kind/0, host/0, host/1, join/1, has_epmd/0, epmd_host/0, connect/2, family/0]).

-spec name() -> tcp | tls | inet6 | noepmd.
name() ->
    case os:getenv("TB_VARIANT", "") of
        "" -> tcp;
        "tcp" -> tcp;
        "tls" ++ _ -> tls;
        "inet6" -> inet6;
        "noepmd" -> noepmd
    end.

%% Flags for the node of that name, the same for erl and tiebeam.
-spec flags(atom()) -> [string()].
flags(Name) ->
    case name() of
        tcp ->
            [];
        tls ->
            ["-proto_dist", "inet_tls", "-ssl_dist_optfile", optfile()];
        inet6 ->
            ["-proto_dist", "inet6_tcp"];
        noepmd ->
            ["-start_epmd", "false", "-erl_epmd_port", os:getenv("TB_DIST_PORT")] ++
                ["-kernel", "inet_dist_use_interface", "{" ++ lists:flatten(string:replace(host(Name), ".", ",", all)) ++ "}"]
    end.

optfile() ->
    filename:join(os:getenv("TB_CERTS"), os:getenv("TB_VARIANT") ++ ".conf").

-spec kind() -> shortnames | longnames.
kind() ->
    case name() of
        inet6 -> longnames;
        noepmd -> longnames;
        _ -> shortnames
    end.

%% The host of nodes that need not be reached.
-spec host() -> string().
host() ->
    case name() of
        inet6 ->
            "::1";
        noepmd ->
            "127.0.0.1";
        _ ->
            {ok, Host} = inet:gethostname(),
            Host
    end.

%% The host of the node of that name.
-spec host(atom()) -> string().
host(Name) ->
    case name() of
        noepmd ->
            Hash = erlang:phash2({Name, os:getenv("TB_TMP")}, 200 * 200 * 200),
            lists:concat(["127.", 20 + Hash div 40000, ".", 20 + Hash div 200 rem 200, ".", 20 + Hash rem 200]);
        _ ->
            host()
    end.

%% What this VM needs before it becomes the node of that name.
-spec join(atom()) -> ok.
join(Name) ->
    case name() of
        noepmd ->
            {ok, Address} = inet:parse_address(host(Name)),
            application:set_env(kernel, inet_dist_use_interface, Address);
        _ ->
            ok
    end.

-spec has_epmd() -> boolean().
has_epmd() ->
    name() =/= noepmd.

%% As net_adm:names/1 takes it.
-spec epmd_host() -> string() | inet:ip6_address().
epmd_host() ->
    case name() of
        inet6 -> {0, 0, 0, 0, 0, 0, 0, 1};
        _ -> host()
    end.

-spec family() -> inet | inet6.
family() ->
    case name() of
        inet6 -> inet6;
        _ -> inet
    end.

%% A socket to where a node listens, with the frames of a handshake.
-spec connect(node(), inet:port_number()) -> {gen_tcp, gen_tcp:socket()} | {ssl, ssl:sslsocket()}.
connect(Node, Port) ->
    Options = [binary, {active, false}, {nodelay, true}],
    case name() of
        tls ->
            {ok, _} = application:ensure_all_started(ssl),
            {ok, [Roles]} = file:consult(optfile()),
            {client, Client} = lists:keyfind(client, 1, Roles),
            {ok, Socket} = ssl:connect("localhost", Port, [{packet, 4} | Options ++ Client]),
            {ssl, Socket};
        inet6 ->
            {ok, Socket} = gen_tcp:connect({0, 0, 0, 0, 0, 0, 0, 1}, Port, [inet6, {packet, 2} | Options]),
            {gen_tcp, Socket};
        noepmd ->
            [_, Host] = string:split(atom_to_list(Node), "@"),
            {ok, Socket} = gen_tcp:connect(Host, list_to_integer(os:getenv("TB_DIST_PORT")), [{packet, 2} | Options]),
            {gen_tcp, Socket};
        tcp ->
            {ok, Socket} = gen_tcp:connect({127, 0, 0, 1}, Port, [{packet, 2} | Options]),
            {gen_tcp, Socket}
    end.
