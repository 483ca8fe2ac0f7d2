#!/usr/bin/env escript
%% record.escript - records what a real epmd and a real node say, for
%% test_epmd and test_handshake. Run it at the top of the tree; the node is
%% the `erl` found in PATH:
%%
%%     escript test/dist/record.escript
%%
%% writes test/data/otpNN/*.bin, each a sequence of
%%     tag u8, length u16, bytes
%% where '<' came from the node or epmd and '>' went to it (both with their
%% lengths, as on the wire), 'C' cookie, 'N' our name, 'P' the peer's name,
%% 'F' our flags u64, 'K' our creation u32, 'H' our challenge u32, 'T' our
%% port u16, 'R' what our handshake must end with.
%%
%% epmd runs on a port of its own and is ended by its pid; the node ends with
%% its standard input.
-mode(compile).

-define(COOKIE, "recorded cookie").
-define(PEER, "b@127.0.0.1").
-define(OURS, "cn@127.0.0.1").
-define(FLAGS, 16#2D075F5FBC).
-define(CREATION, 16#BEEF).
-define(CHALLENGE, 16#FFFFFFFE).
-define(TIMEOUT, 10000).

main([]) ->
    Epmd = start_epmd(),
    try
        {Node, Release} = start_node(Epmd),
        Dir = filename:join(["test", "data", "otp" ++ Release]),
        ok = filelib:ensure_dir(filename:join(Dir, "x")),
        [save(Dir, File, Record) || {File, Record} <- all(Epmd, Node)],
        port_close(Node)
    after
        stop_epmd(Epmd)
    end.

all(Epmd, Node) ->
    {Listen, Registration, Alive2} = register_us(Epmd),
    Port2 = ask_epmd(Epmd, <<$z, "b">>, [{$P, "b"}]),
    Unknown = ask_epmd(Epmd, <<$z, "nobody">>, [{$P, "nobody"}]),
    Names = ask_epmd(Epmd, <<$n>>, []),
    Port = port_of(Port2),
    NotAllowed = dial(Port, ?OURS, 16#00050184, "not_allowed"),
    Nok = dial(Port, ?PEER, ?FLAGS, "nok"),
    {Dial, Up} = dial_up(Port),
    {Alive, Again} = dial_up(Port),
    gen_tcp:close(Up),
    gen_tcp:close(Again),
    until_gone(Node),
    Accept = accept(Listen, Node),
    gen_tcp:close(Registration),
    [{"epmd_alive2", Alive2},
     {"epmd_port2", Port2},
     {"epmd_port2_unknown", Unknown},
     {"epmd_names", Names},
     {"dial", Dial},
     {"dial_alive", Alive},
     {"dial_not_allowed", NotAllowed},
     {"dial_nok", Nok},
     {"accept", Accept}].

%% ----------------------------------------------------- epmd and the node --

start_epmd() ->
    {ok, Probe} = gen_tcp:listen(0, [{ip, {127, 0, 0, 1}}]),
    {ok, Port} = inet:port(Probe),
    gen_tcp:close(Probe),
    Args = ["-port", integer_to_list(Port), "-address", "127.0.0.1"],
    Exe = os:find_executable("epmd"),
    Daemon = open_port({spawn_executable, Exe}, [{args, Args}, exit_status]),
    {os_pid, Pid} = erlang:port_info(Daemon, os_pid),
    Epmd = {Pid, Port},
    until_up(Epmd, 100),
    Epmd.

until_up({_, Port} = Epmd, Tries) when Tries > 0 ->
    case gen_tcp:connect({127, 0, 0, 1}, Port, []) of
        {ok, Socket} ->
            gen_tcp:close(Socket);
        {error, econnrefused} ->
            timer:sleep(50),
            until_up(Epmd, Tries - 1)
    end.

stop_epmd({Pid, _}) ->
    os:cmd("kill " ++ integer_to_list(Pid)).

%% The node obeys one line after the other and answers each with a line.
start_node({_, EpmdPort}) ->
    Loop =
        "io:format(\"~s~n\", [erlang:system_info(otp_release)]), "
        "L = fun L() -> case io:get_line([]) of "
        "\"connect\\n\" -> "
        "  io:format(\"~p~n\", "
        "    [net_kernel:connect_node('" ++ ?OURS ++ "')]), L();"
        "\"nodes\\n\" -> io:format(\"~p~n\", [nodes(connected)]), L();"
        "_ -> halt() end end, L().",
    Args = ["-noshell", "-start_epmd", "false", "-name", ?PEER,
            "-setcookie", ?COOKIE, "-eval", Loop],
    Env = [{"ERL_EPMD_PORT", integer_to_list(EpmdPort)}],
    Node = open_port({spawn_executable, os:find_executable("erl")},
                     [{args, Args}, {env, Env}, {line, 256}]),
    {Node, answer(Node)}.

ask_node(Node, Line) ->
    port_command(Node, Line ++ "\n"),
    answer(Node).

%% Log events may stand between the answers.
answer(Node) ->
    receive
        {Node, {data, {eol, Line}}} ->
            case lists:member(hd(Line ++ " "), "0123456789[tf") of
                true -> Line;
                false -> answer(Node)
            end
    after ?TIMEOUT ->
        exit(node_is_silent)
    end.

until_gone(Node) ->
    case ask_node(Node, "nodes") of
        "[]" -> ok;
        _ -> until_gone(Node)
    end.

%% ------------------------------------------------------------------ epmd --

register_us(Epmd) ->
    {ok, Listen} = gen_tcp:listen(0, [binary, {active, false}, {packet, 0},
                                      {ip, {127, 0, 0, 1}}]),
    {ok, Port} = inet:port(Listen),
    Request = <<$x, Port:16, 72, 0, 6:16, 5:16, 2:16, "cn", 0:16>>,
    Socket = epmd_request(Epmd, Request),
    {ok, Reply} = gen_tcp:recv(Socket, 6, ?TIMEOUT),
    {Listen, Socket,
     [{$N, "cn"}, {$T, <<Port:16>>}, {$>, sized(Request)}, {$<, Reply}]}.

ask_epmd(Epmd, Request, Facts) ->
    Socket = epmd_request(Epmd, Request),
    Facts ++ [{$>, sized(Request)}, {$<, until_closed(Socket, <<>>)}].

epmd_request({_, Port}, Request) ->
    {ok, Socket} = gen_tcp:connect({127, 0, 0, 1}, Port,
                                   [binary, {active, false}]),
    ok = gen_tcp:send(Socket, sized(Request)),
    Socket.

until_closed(Socket, Got) ->
    case gen_tcp:recv(Socket, 0, ?TIMEOUT) of
        {ok, More} -> until_closed(Socket, <<Got/binary, More/binary>>);
        {error, closed} -> Got
    end.

port_of(Record) ->
    {$<, <<$w, 0, Port:16, _/binary>>} = lists:keyfind($<, 1, Record),
    Port.

%% ------------------------------------------------------------- handshake --

facts(Ours, Flags, Result) ->
    [{$C, ?COOKIE}, {$N, Ours}, {$P, ?PEER}, {$F, <<Flags:64>>},
     {$K, <<?CREATION:32>>}, {$H, <<?CHALLENGE:32>>}, {$R, Result}].

send_name(Port, Ours, Flags) ->
    {ok, Socket} = gen_tcp:connect({127, 0, 0, 1}, Port,
                                   [binary, {active, false}, {packet, 0}]),
    Length = length(Ours),
    {Socket, send(Socket, [<<$N, Flags:64, ?CREATION:32, Length:16>>, Ours])}.

%% A dial that gets no further than the status.
dial(Port, Ours, Flags, Result) ->
    {Socket, Name} = send_name(Port, Ours, Flags),
    {_, Status} = recv(Socket),
    gen_tcp:close(Socket),
    facts(Ours, Flags, Result) ++ [Name, Status].

dial_up(Port) ->
    {Socket, Name} = send_name(Port, ?OURS, ?FLAGS),
    {Text, Status} = recv(Socket),
    Answer = [send(Socket, <<"strue">>) || Text =:= <<"salive">>],
    {<<$N, _:64, Theirs:32, _/binary>>, Challenge} = recv(Socket),
    Reply = send(Socket, [<<$r, ?CHALLENGE:32>>, digest(Theirs)]),
    {Ack, AckRecord} = recv(Socket),
    Ack = <<$a, (digest(?CHALLENGE))/binary>>,
    {facts(?OURS, ?FLAGS, "done") ++
         [Name, Status] ++ Answer ++ [Challenge, Reply, AckRecord],
     Socket}.

accept(Listen, Node) ->
    port_command(Node, "connect\n"),
    {ok, Socket} = gen_tcp:accept(Listen, ?TIMEOUT),
    {<<$N, _/binary>>, Name} = recv(Socket),
    Status = send(Socket, <<"sok">>),
    Length = length(?OURS),
    Challenge = send(Socket, [<<$N, ?FLAGS:64, ?CHALLENGE:32, ?CREATION:32,
                                Length:16>>, ?OURS]),
    {<<$r, Theirs:32, Digest/binary>>, Reply} = recv(Socket),
    Digest = digest(?CHALLENGE),
    Ack = send(Socket, [$a, digest(Theirs)]),
    "true" = answer(Node),
    gen_tcp:close(Socket),
    facts(?OURS, ?FLAGS, "done") ++ [Name, Status, Challenge, Reply, Ack].

digest(Challenge) ->
    erlang:md5([?COOKIE, integer_to_list(Challenge)]).

sized(Message) ->
    Bytes = iolist_to_binary(Message),
    <<(byte_size(Bytes)):16, Bytes/binary>>.

send(Socket, Message) ->
    ok = gen_tcp:send(Socket, sized(Message)),
    {$>, sized(Message)}.

recv(Socket) ->
    {ok, <<Length:16>>} = gen_tcp:recv(Socket, 2, ?TIMEOUT),
    {ok, Message} = gen_tcp:recv(Socket, Length, ?TIMEOUT),
    {Message, {$<, sized(Message)}}.

save(Dir, File, Record) ->
    Bytes = [[Tag, sized(Data)] || {Tag, Data} <- Record],
    ok = file:write_file(filename:join(Dir, File ++ ".bin"), Bytes).
