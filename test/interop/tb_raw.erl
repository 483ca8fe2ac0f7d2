%% tb_raw - a peer made by hand: it speaks the handshake and the control
%% messages over a socket, as a BEAM does, and whatever a BEAM would never say.
%% It belongs to the process that connects it and ends with its socket.
%% Nothing here is newer than OTP 23.
-module(tb_raw).

-export([connect/2, connect/3, open/3, prove/1, dial/1, names/1, announce/2, hello/2, send/2, send/3, send_bytes/2, recv/1, recv/2]).
-export([socket_send/2, socket_recv/2, socket_setopts/2, socket_close/1]).
-export([close/1, reset/1, call/3, pid/2, pid/3, ref/2, flags/0]).
-export([plain_socket/1]).

-export_type([peer/0, socket/0]).

-type socket() :: {gen_tcp, gen_tcp:socket()} | {ssl, ssl:sslsocket()}.

-opaque peer() :: #{
    socket := socket(),
    name := atom(),
    creation := pos_integer(),
    flags := non_neg_integer(),
    cookie := string(),
    challenge := non_neg_integer()
}.

-define(PASS_THROUGH, 112).
-define(VERSION, 131).
-define(TIMEOUT, 60000).

%% All that a node of OTP 25 announces, less the atom cache, fragments and
%% PUBLISHED: so this peer is hidden.
-spec flags() -> non_neg_integer().
flags() ->
    16#D075F5FBC.

%% A socket to a node, found by this VM's epmd.
-spec dial(node()) -> socket().
dial(Node) ->
    dial(Node, tb_lib:epmd_port()).

dial(Node, EpmdPort) ->
    tb_variant:connect(Node, dist_port(Node, EpmdPort)).

dist_port(Node, EpmdPort) ->
    case tb_variant:has_epmd() of
        true ->
            [Alive, _] = string:split(atom_to_list(Node), "@"),
            {ok, Names} = names(EpmdPort),
            {Alive, Port} = lists:keyfind(Alive, 1, Names),
            Port;
        false ->
            0
    end.

%% Lets this run's epmd know of a node that is in no epmd itself, as long as the
%% socket is open.
-spec announce(string(), inet:port_number()) -> gen_tcp:socket().
announce(Name, Port) ->
    {ok, Socket} = gen_tcp:connect({127, 0, 0, 1}, tb_lib:epmd_port(), [binary, {active, false}]),
    Request = <<120, Port:16, 72, 0, 6:16, 5:16, (length(Name)):16, (list_to_binary(Name))/binary, 0:16>>,
    ok = gen_tcp:send(Socket, [<<(byte_size(Request)):16>>, Request]),
    {ok, <<_, 0, _/binary>>} = gen_tcp:recv(Socket, 0, ?TIMEOUT),
    Socket.

%% net_adm:names/0 of the epmd at that port.
-spec names(inet:port_number()) -> {ok, [{string(), inet:port_number()}]} | {error, term()}.
names(EpmdPort) ->
    Address =
        case tb_variant:family() of
            inet -> {127, 0, 0, 1};
            inet6 -> {0, 0, 0, 0, 0, 0, 0, 1}
        end,
    Options = [binary, tb_variant:family(), {active, false}],
    case gen_tcp:connect(Address, EpmdPort, Options, ?TIMEOUT) of
        {ok, Socket} ->
            ok = gen_tcp:send(Socket, <<1:16, $n>>),
            read_names(Socket, <<>>);
        Error ->
            Error
    end.

read_names(Socket, Bytes) ->
    case gen_tcp:recv(Socket, 0, ?TIMEOUT) of
        {ok, More} ->
            read_names(Socket, <<Bytes/binary, More/binary>>);
        {error, _} ->
            ok = gen_tcp:close(Socket),
            <<_:32, Text/binary>> = Bytes,
            Lines = string:lexemes(binary_to_list(Text), "\n"),
            Words = [string:lexemes(Line, " ") || Line <- Lines],
            {ok, [{Name, list_to_integer(Port)} || ["name", Name, "at", "port", Port] <- Words]}
    end.

%% Connects as a node of that name.
-spec connect(node(), atom()) -> peer().
connect(Node, Name) ->
    connect(Node, Name, #{}).

%% Options: cookie, flags, creation, epmd (its port), socket (dialled already).
-spec connect(node(), atom(), map()) -> peer().
connect(Node, Name, Options) ->
    prove(open(Node, Name, Options)).

%% The first half of a handshake: the other side knows our name, and has sent
%% its challenge.
-spec open(node(), atom(), map()) -> peer().
open(Node, Name, Options) ->
    Flags = maps:get(flags, Options, flags()),
    Creation = maps:get(creation, Options, 16#BEEF),
    Socket =
        case Options of
            #{socket := Dialled} -> Dialled;
            _ -> dial(Node, maps:get(epmd, Options, tb_lib:epmd_port()))
        end,
    ok = socket_send(Socket, hello(Name, #{flags => Flags, creation => Creation})),
    case socket_recv(Socket, ?TIMEOUT) of
        {ok, <<"sok", _/binary>>} ->
            ok;
        {ok, <<"salive">>} ->
            ok = socket_send(Socket, <<"strue">>)
    end,
    {ok, <<"N", _:64, Challenge:32, _/binary>>} = socket_recv(Socket, ?TIMEOUT),
    #{
        socket => Socket,
        name => Name,
        creation => Creation,
        flags => Flags,
        cookie => maps:get(cookie, Options, tb_lib:cookie()),
        challenge => Challenge
    }.

%% The second half: both prove that they know the cookie.
-spec prove(peer()) -> peer().
prove(#{socket := Socket, cookie := Cookie, challenge := Theirs} = Peer) ->
    ok = socket_send(Socket, <<"r", 4711:32, (digest(Cookie, Theirs))/binary>>),
    Ack = digest(Cookie, 4711),
    {ok, <<"a", Ack:16/binary>>} = socket_recv(Socket, ?TIMEOUT),
    ok = socket_setopts(Socket, [{packet, 4}]),
    Peer.

%% The first message of a handshake.
-spec hello(atom(), map()) -> binary().
hello(Name, #{flags := Flags, creation := Creation}) ->
    Bytes = atom_to_binary(Name, utf8),
    <<"N", Flags:64, Creation:32, (byte_size(Bytes)):16, Bytes/binary>>.

digest(Cookie, Challenge) ->
    erlang:md5([Cookie, integer_to_list(Challenge)]).

-spec send(peer(), tuple()) -> ok.
send(Peer, Control) ->
    send_bytes(Peer, [?PASS_THROUGH, term_to_binary(Control)]).

-spec send(peer(), tuple(), term()) -> ok.
send(Peer, Control, Message) ->
    send_bytes(Peer, [?PASS_THROUGH, term_to_binary(Control), term_to_binary(Message)]).

%% One frame of anything.
-spec send_bytes(peer(), iodata()) -> ok.
send_bytes(#{socket := Socket}, Bytes) ->
    socket_send(Socket, Bytes).

-spec recv(peer()) -> {tuple(), term()} | {tuple()} | closed.
recv(Peer) ->
    recv(Peer, ?TIMEOUT).

-define(OF_PG(Name), (Name =:= pg orelse Name =:= tiebeam_cluster)).

%% The next control message, with its payload where it has one; ticks are
%% answered and left out, and so is what pg does to find its scopes.
-spec recv(peer(), timeout()) -> {tuple(), term()} | {tuple()} | closed | timeout.
recv(#{socket := Socket} = Peer, Timeout) ->
    case socket_recv(Socket, Timeout) of
        {ok, <<>>} ->
            ok = send_bytes(Peer, []),
            recv(Peer, Timeout);
        {ok, <<?PASS_THROUGH, Bytes/binary>>} ->
            {Control, Used} = binary_to_term(Bytes, [used]),
            case Bytes of
                <<_:Used/binary>> when element(1, Control) =:= 19, ?OF_PG(element(3, Control)) -> recv(Peer, Timeout);
                <<_:Used/binary>> -> {Control};
                <<_:Used/binary, Payload/binary>> -> recv(Peer, Timeout, Control, binary_to_term(Payload))
            end;
        {error, timeout} ->
            timeout;
        {error, _} ->
            closed
    end.

recv(Peer, Timeout, {6, _, '', To}, {discover, _}) when ?OF_PG(To) -> recv(Peer, Timeout);
recv(_, _, Control, Payload) -> {Control, Payload}.

-spec close(peer()) -> ok.
close(#{socket := Socket}) ->
    socket_close(Socket).

%% Ends as a host that lost its power and came back: with a reset.
-spec reset(peer()) -> ok.
reset(#{socket := Socket}) ->
    ok = socket_setopts(Socket, [{linger, {true, 0}}]),
    socket_close(Socket).

%% gen_server:call({Name, Node}, Request) as OTP 23 does it.
-spec call(peer(), atom(), term()) -> term().
call(Peer, Name, Request) ->
    Us = pid(Peer, 1),
    Ref = ref(Peer, erlang:unique_integer([positive])),
    ok = send(Peer, {6, Us, '', Name}, {'$gen_call', {Us, Ref}, Request}),
    wait_reply(Peer, Ref).

wait_reply(Peer, Ref) ->
    case recv(Peer) of
        {_, {Ref, Reply}} -> Reply;
        Other when is_tuple(Other) -> wait_reply(Peer, Ref)
    end.

%% A pid of this peer.
-spec pid(peer(), non_neg_integer()) -> pid().
pid(#{name := Name, creation := Creation}, Id) ->
    pid(Name, Creation, Id).

%% A pid of any node.
-spec pid(atom(), non_neg_integer(), non_neg_integer()) -> pid().
pid(Node, Creation, Id) ->
    binary_to_term(<<?VERSION, 88, (atom_bytes(Node))/binary, Id:32, 0:32, Creation:32>>).

%% A reference of this peer.
-spec ref(peer(), non_neg_integer()) -> reference().
ref(#{name := Name, creation := Creation}, Id) ->
    binary_to_term(
        <<?VERSION, 90, 3:16, (atom_bytes(Name))/binary, Creation:32, (Id band 16#3FFFF):32, 0:32,
            (Id bsr 18):32>>
    ).

atom_bytes(Atom) ->
    Text = atom_to_binary(Atom, utf8),
    <<119, (byte_size(Text)), Text/binary>>.

%% ------------------------------------------------------------------ sockets

-spec socket_send(socket(), iodata()) -> ok | {error, term()}.
socket_send({Module, Socket}, Bytes) -> Module:send(Socket, Bytes).

-spec socket_recv(socket(), timeout()) -> {ok, binary()} | {error, term()}.
socket_recv({Module, Socket}, Timeout) -> Module:recv(Socket, 0, Timeout).

-spec socket_setopts(socket(), list()) -> ok.
socket_setopts({gen_tcp, Socket}, Options) -> inet:setopts(Socket, Options);
socket_setopts({ssl, Socket}, Options) -> ssl:setopts(Socket, Options).

-spec socket_close(socket()) -> ok.
socket_close({Module, Socket}) -> Module:close(Socket).

%% What is under a connection without TLS.
-spec plain_socket(peer() | socket()) -> gen_tcp:socket().
plain_socket(#{socket := Socket}) -> plain_socket(Socket);
plain_socket({gen_tcp, Socket}) -> Socket.
