%% tb_hostile_tests - peers that want no good. Each has a daemon to itself, and
%% all the while a BEAM node is answered in time; memory stays within a bound,
%% one reason is logged for each peer, and what it left behind goes.
-module(tb_hostile_tests).
-include_lib("eunit/include/eunit.hrl").

-import(tb_hostile, [frame/1, frame/2, tuple/1, etf/1, atom/1, pid/2, ref/2, node_of/1, name/1]).

-define(TIMEOUT, 300).

-define(MIB, (1 bsl 20)).

-spec hostile_test_() -> tuple().
hostile_test_() ->
    {setup, fun setup/0, fun cleanup/1, fun({_, Beam}) ->
        [
            {timeout, ?TIMEOUT, {Title, fun() -> survive(Title, Case, Beam) end}}
         || {Title, Case} <- tb_lib:chosen([{T, {O, F}} || {T, O, F} <- cases()])
        ]
    end}.

survive(Title, {Options, Peers}, Beam) ->
    tb_hostile:survive(Title, Options, tb_lib:node_of(Beam), Peers).

setup() ->
    Epmd = tb_lib:join(hostile),
    tb_hostile:put_table(),
    {Epmd, tb_lib:beam(honest)}.

cleanup({Epmd, Beam}) ->
    tb_lib:end_beam(Beam),
    tb_lib:leave(Epmd).

cases() ->
    [
        %% in the handshake
        {"50 guesses of the cookie", rise(4), fun wrong_cookie/1},
        {"10 connect and say nothing", (rise(4))#{args => setup_in(1)}, fun silent/1},
        {"10 half handshakes, closed", rise(4), fun half_closed/1},
        {"10 half handshakes, then silence", (rise(4))#{args => setup_in(1)}, fun half_silent/1},
        {"a handshake message of 64 KiB", rise(4), fun long_handshake/1},
        {"a name of 300 bytes", rise(4), fun long_name/1},
        {"no handshake but HTTP", rise(4), fun other_protocol/1},
        {"a handshake byte by byte", (rise(4))#{args => setup_in(1)}, fun slow_handshake/1},
        {"our own name", rise(4), fun own_name/1},
        {"the name of a peer that is up, and another cookie", rise(4), fun stolen_name/1},
        {"the name of a peer that is up, and doubt", rise(4), fun doubtful_name/1},
        %% frames
        {"a frame of 4 GiB announced", rise(4), fun announces_too_much/1},
        {"100 frames of 127 MiB announced", rise(24), fun announces_only/1},
        {"200 MiB of frames without end", rise(256), fun unfinished/1},
        {"a frame byte by byte, then silence", (rise(4))#{args => ticks_in(1)}, fun slow_frame/1},
        %% terms
        {"terms 100,000 deep", rise(40), fun deep/1},
        {"terms 100,000 deep, and cut", rise(16), fun deep_and_cut/1},
        {"lengths that overrun", rise(8), fun overruns/1},
        {"huge arities", rise(8), fun huge_arities/1},
        {"maps with a key twice", rise(32), fun keys_twice/1},
        {"a map of 4 million keys", rise(140), fun large_map/1},
        {"100,000 atoms", rise(16), fun many_atoms/1},
        {"100,000 node names", rise(16), fun many_names/1},
        %% atoms that are told once
        {"references to atoms that nobody told", rise(8), fun bad_references/1},
        {"headers of atoms that are wrong", rise(8), fun bad_headers/1},
        {"60 MiB of references to a long atom", rise(360), fun expansion/1},
        {"50 messages of 64 KiB that become 32 MiB each", rise(200), fun growing/1},
        {"10 full of the longest atoms", rise(80), fun full_caches/1},
        %% control messages
        {"unknown control messages", rise(8), fun unknown_control/1},
        {"control messages of a wrong shape", rise(8), fun wrong_shapes/1},
        {"300,000 monitors of one process", rise(160), fun monitors/1},
        {"200,000 monitors of nobody, answers not read", rise(32), fun monitors_of_nobody/1},
        {"300,000 links to one process", rise(160), fun links/1},
        {"100,000 spawn requests", rise(128), fun spawns/1},
        {"100,000 calls that wait", (rise(96))#{args => setup_in(2)}, fun waiting_calls/1},
        {"100,000 spawned that wait", (rise(160))#{args => setup_in(2)}, fun waiting_spawned/1},
        {"10,000 nodes to be dialled", rise(24), fun many_dials/1},
        {"1,000,000 messages of ten peers", rise(96), fun many_messages/1},
        {"messages to a suspended process", rise(120), fun suspended/1},
        {"a frame of 120 MiB", rise(420), fun large_frame/1},
        %% who does not read
        {"one that never reads", (rise(24))#{args => ticks_in(1)}, fun never_reads/1},
        {"100 that never read", (rise(450))#{args => ticks_in(4)}, fun many_never_read/1},
        {"10 that never read 60 MiB", (rise(520))#{args => ticks_in(2)}, fun large_never_read/1},
        {"one that reads 4 KiB a second", (rise(24))#{args => ticks_in(2)}, fun slow_reader/1},
        %% too many
        {"2000 half-open connections, opened again", rise(24), fun half_open/1},
        {"more connections than files", (rise(16))#{files => 200}, fun many_connections/1},
        {"no file left", rise(16), fun no_file_left/1}
    ].

rise(Mib) -> #{rise => Mib}.

setup_in(Seconds) -> ["-kernel", "net_setuptime", integer_to_list(Seconds)].
ticks_in(Seconds) -> ["-kernel", "net_ticktime", integer_to_list(Seconds)].

refused(Why, Count) -> {"conn.refused", "reason=" ++ Why, Count}.
down(Why, Count) -> {"node.down", "reason=" ++ Why, Count}.

%% --------------------------------------------------------- in the handshake

wrong_cookie(#{node := N}) ->
    [
        ?assertError(_, tb_raw:connect(N, name(I rem 3), #{cookie => integer_to_list(I)}))
     || I <- lists:seq(1, 50)
    ],
    [refused("bad_cookie", 50)].

silent(Context) ->
    [tb_hostile:until_closed(S) || S <- tb_hostile:dials(Context, 10)],
    [refused("timeout", 10)].

half_closed(Context) ->
    [
        begin
            ok = gen_tcp:send(S, <<60:16, "N", 13:64>>),
            gen_tcp:close(S)
        end
     || S <- tb_hostile:dials(Context, 10)
    ],
    [refused("connection_closed", 10)].

half_silent(Context) ->
    Sockets = tb_hostile:dials(Context, 10),
    [ok = gen_tcp:send(S, <<60:16, "N", 13:64>>) || S <- Sockets],
    [tb_hostile:until_closed(S) || S <- Sockets],
    [refused("timeout", 10)].

long_handshake(Context) ->
    Socket = tb_hostile:dial(Context),
    _ = tb_hostile:pour(Socket, [<<65535:16>>, binary:copy(<<"N">>, 65535)]),
    tb_hostile:until_closed(Socket),
    [refused("system_limit", 1)].

long_name(Context) ->
    Socket = tb_hostile:dial(Context),
    Name = [binary:copy(<<"n">>, 298), "@h"],
    Hello = iolist_to_binary([<<"N", (tb_raw:flags()):64, 17:32, 300:16>>, Name]),
    ok = gen_tcp:send(Socket, [<<(byte_size(Hello)):16>>, Hello]),
    tb_hostile:until_closed(Socket),
    [refused("wrong_name", 1)].

other_protocol(Context) ->
    Socket = tb_hostile:dial(Context),
    ok = gen_tcp:send(Socket, "GET / HTTP/1.0\r\n\r\n"),
    tb_hostile:until_closed(Socket),
    [refused("system_limit", 1)].

slow_handshake(Context) ->
    Socket = tb_hostile:dial(Context),
    Hello = tb_raw:hello(name(1), #{flags => tb_raw:flags(), creation => 17}),
    %% before all of it has come
    ?assertEqual(closed, drip(Socket, <<(byte_size(Hello)):16, Hello/binary>>, 100)),
    [refused("timeout", 1)].

%% One byte after the other, until the other side closes or nothing is left.
drip(_, <<>>, _) ->
    ok;
drip(Socket, <<Byte, More/binary>>, Ms) ->
    case {gen_tcp:send(Socket, <<Byte>>), gen_tcp:recv(Socket, 0, Ms)} of
        {ok, {error, timeout}} -> drip(Socket, More, Ms);
        {ok, {ok, _}} -> drip(Socket, More, Ms);
        _ -> closed
    end.

own_name(#{node := N}) ->
    Socket = tb_raw:plain_socket(tb_raw:dial(N)),
    ok = gen_tcp:send(Socket, tb_raw:hello(N, #{flags => tb_raw:flags(), creation => 17})),
    ?assertEqual({ok, <<"snok">>}, gen_tcp:recv(Socket, 0, 60000)),
    tb_hostile:until_closed(Socket),
    [refused("nok", 1)].

%% The honest BEAM is asked for all the while: it stays.
stolen_name(#{node := N, beam := Beam}) ->
    Id = connection_id(N, Beam),
    [?assertError(_, tb_raw:connect(N, Beam, #{cookie => "guess"})) || _ <- lists:seq(1, 10)],
    ?assertEqual(Id, connection_id(N, Beam)),
    [refused("bad_cookie", 10)].

connection_id(N, Beam) ->
    #{nodes := #{Beam := #{connection_id := Id}}} = rpc:call(Beam, tb_lib, info, [N]),
    Id.

doubtful_name(#{node := N, beam := Beam}) ->
    Id = connection_id(N, Beam),
    [
        begin
            Socket = tb_raw:plain_socket(tb_raw:dial(N)),
            Hello = tb_raw:hello(Beam, #{flags => tb_raw:flags(), creation => 17}),
            ok = gen_tcp:send(Socket, Hello),
            ?assertEqual({ok, <<"salive">>}, gen_tcp:recv(Socket, 0, 60000)),
            ok = gen_tcp:send(Socket, Answer),
            tb_hostile:until_closed(Socket)
        end
     || Answer <- ["sfalse", "sfalse", "sperhaps", "rtrue"]
    ],
    ?assertEqual(Id, connection_id(N, Beam)),
    [refused("alive", 2), refused("protocol_error", 2)].

%% ------------------------------------------------------------------ frames

announces_too_much(Context) ->
    Socket = connect(Context, 1),
    ok = gen_tcp:send(Socket, <<16#FFFFFFFF:32, 112, 131>>),
    tb_hostile:until_closed(Socket),
    [down("system_limit", 1)].

connect(Context, I) ->
    tb_raw:plain_socket(tb_hostile:connect(Context, I)).

%% Memory grows with what arrives, not with what was announced.
announces_only(Context) ->
    Sockets = [connect(Context, I) || I <- lists:seq(1, 100)],
    Start = [<<(127 * ?MIB):32, 112>>, binary:copy(<<131>>, 1024)],
    [ok = gen_tcp:send(S, Start) || S <- Sockets],
    [tb_hostile:close(S) || S <- Sockets],
    [down("connection_closed", 100)].

%% The one that holds the most goes, when all together hold too much.
unfinished(Context) ->
    Sizes = [39, 39, 45, 39, 38],
    Sockets = [connect(Context, I) || I <- lists:seq(1, length(Sizes))],
    Mib = binary:copy(<<106>>, ?MIB),
    [
        begin
            ok = gen_tcp:send(S, [<<(127 * ?MIB):32, 112>> | lists:duplicate(Size, Mib)]),
            I < length(Sizes) andalso until_has(Context, I, bytes_in, Size * ?MIB)
        end
     || {I, S, Size} <- lists:zip3(lists:seq(1, length(Sizes)), Sockets, Sizes)
    ],
    tb_hostile:until_closed(lists:nth(3, Sockets)),
    %% there is room again for others
    Other = tb_raw:connect(maps:get(node, Context), name(6)),
    Large = binary:copy(<<1>>, 16 * ?MIB),
    ?assertEqual(Large, tb_raw:call(Other, tiebeam, {echo, Large})),
    tb_raw:close(Other),
    [tb_hostile:close(S) || S <- Sockets],
    [down("system_limit", 1), down("connection_closed", 5)].

%% Until the daemon counts that much of a peer, or has no such peer.
until_has(#{node := N, beam := Beam}, I, What, Bytes) ->
    tb_lib:until(fun() ->
        #{nodes := Nodes} = rpc:call(Beam, tb_lib, info, [N]),
        maps:get(What, maps:get(name(I), Nodes, #{What => Bytes})) >= Bytes
    end).

%% Whoever sends is alive, however slowly; who stops is not.
slow_frame(Context) ->
    Peer = tb_hostile:connect(Context, 1),
    Node = node_of(1),
    Call = frame(
        tuple([<<97, 6>>, pid(Node, 1), atom(""), atom("tiebeam")]),
        tuple([atom("$gen_call"), tuple([pid(Node, 1), ref(Node, 1)]), etf({echo, x})])
    ),
    <<Slow:15/binary, Rest/binary>> = Call,
    Socket = tb_raw:plain_socket(Peer),
    ok = drip(Socket, Slow, 200),
    ok = gen_tcp:send(Socket, Rest),
    Reply = iolist_to_binary(tuple([ref(Node, 1), etf(x)])),
    ok = until_received(Socket, Reply),
    tb_hostile:until_closed(Socket),
    [down("net_tick_timeout", 1)].

until_received(Socket, Bytes) -> until_received(Socket, Bytes, <<>>).

until_received(Socket, Bytes, Had) ->
    case binary:match(Had, Bytes) of
        nomatch ->
            {ok, More} = gen_tcp:recv(Socket, 0, 60000),
            until_received(Socket, Bytes, <<Had/binary, More/binary>>);
        _ ->
            ok
    end.

%% ------------------------------------------------------------------- terms

-define(DEEP, 100000).

copies(Bytes) -> binary:copy(Bytes, ?DEEP).

%% What opens a level, what is inside, what closes it.
levels() ->
    [
        {<<104, 1>>, <<106>>, <<>>},
        {<<105, 1:32>>, <<106>>, <<>>},
        {<<108, 1:32>>, <<106>>, <<106>>},
        {<<108, 1:32, 97, 1>>, <<106>>, <<>>},
        {<<116, 1:32, 97, 1>>, <<106>>, <<>>},
        {<<116, 1:32>>, <<106>>, <<97, 1>>},
        {fun_head(), <<106>>, <<>>}
    ].

%% A fun with one free variable, which follows.
fun_head() ->
    Fields = [
        <<1, 0:128, 7:32, 1:32>>, atom("m"), <<97, 1, 97, 2>>, pid(atom("a@b"), 1)
    ],
    Bytes = iolist_to_binary(Fields),
    <<112, (byte_size(Bytes) + 5):32, Bytes/binary>>.

deep(#{node := N}) ->
    Peer = tb_raw:connect(N, name(1)),
    Us = pid(node_of(1), 1),
    Tag = ref(node_of(1), 1),
    [
        begin
            Deep = iolist_to_binary([copies(Open), Inside, copies(Close)]),
            Request = tuple([atom("$gen_call"), tuple([Us, Tag]), tuple([atom("echo"), Deep])]),
            Control = tuple([<<97, 6>>, Us, atom(""), atom("tiebeam")]),
            tb_raw:send_bytes(Peer, [112, 131, Control, 131, Request]),
            ?assertEqual(<<104, 2, Tag/binary, Deep/binary>>, payload(Peer)),
            %% where it is passed on, and where it is dropped
            tb_raw:send_bytes(Peer, [112, 131, tuple([<<97, 22>>, Deep, pid(node_of(2), 1)]), 131, Deep]),
            tb_raw:send_bytes(Peer, [112, 131, tuple([<<97, 19>>, Us, Deep, Tag])]),
            tb_raw:send_bytes(Peer, [112, 131, Control, 131, Deep])
        end
     || {Open, Inside, Close} <- levels()
    ],
    ?assertEqual(x, tb_raw:call(Peer, tiebeam, {echo, x})),
    tb_raw:close(Peer),
    [down("connection_closed", 1)].

%% The payload of the next message that is none of a monitor.
payload(Peer) ->
    case gen_tcp:recv(tb_raw:plain_socket(Peer), 0, 60000) of
        {ok, <<112, 131, 104, _, 97, 28, _/binary>>} ->
            payload(Peer);
        {ok, <<112, 131, Bytes/binary>>} ->
            {_, Used} = binary_to_term(<<131, Bytes/binary>>, [used]),
            <<_:(Used - 1)/binary, 131, Payload/binary>> = Bytes,
            Payload;
        {ok, <<>>} ->
            payload(Peer)
    end.

deep_and_cut(Context) ->
    Cut = [[copies(Open), copies(Close)] || {Open, _, Close} <- levels()],
    bad_terms(Context, Cut, "bad_term").

%% Each in a message of a connection of its own.
bad_terms(Context, Terms, Why) ->
    Control = tuple([<<97, 6>>, pid(node_of(1), 1), atom(""), atom("tiebeam")]),
    bad_frames(Context, fun(I) -> 1 + I div 10 end, [frame(Control, Term) || Term <- Terms], Why).

%% Ten from each name, where that does not matter, since so many are logged.
bad_frames(Context, NameOf, Frames, Why) ->
    [
        begin
            Socket = connect(Context, NameOf(I)),
            _ = tb_hostile:pour(Socket, [Frame]),
            try
                tb_hostile:until_closed(Socket)
            catch
                error:not_closed -> error({not_closed, Why, binary:part(Frame, 0, min(200, byte_size(Frame)))})
            end
        end
     || {I, Frame} <- lists:zip(lists:seq(1, length(Frames)), Frames)
    ],
    [down(Why, length(Frames))].

overruns(Context) ->
    Node = atom("a@b"),
    bad_terms(
        Context,
        [
            <<>>,
            <<98, 1, 2, 3>>,
            <<70, 0:56>>,
            <<99, "1.0">>,
            <<119, 200, "short">>,
            <<118, 60000:16, "short">>,
            <<115, 200, "short">>,
            <<100, 60000:16, "short">>,
            <<109, 16#FFFFFFFF:32, "short">>,
            <<109, 6:32, "short">>,
            <<77, 16#FFFFFFFF:32, 8, "short">>,
            <<77, 6:32, 1, "short">>,
            <<107, 60000:16, "short">>,
            <<110, 255, 0, 1, 2, 3>>,
            <<111, 16#FFFFFFFF:32, 0, 1, 2, 3>>,
            <<104, 3, 97, 1, 97, 2>>,
            <<105, 3:32, 97, 1, 97, 2>>,
            <<108, 1000:32, 97, 1>>,
            <<108, 1:32, 97, 1>>,
            <<116, 2:32, 97, 1, 97, 2, 97, 3>>,
            <<88, Node/binary, 1:32, 1:32>>,
            <<90, 5:16, Node/binary, 1:32, 1:32>>,
            <<90, 60000:16, Node/binary, 1:32, 1:32>>,
            <<120, Node/binary, 1:64>>,
            <<113, Node/binary, Node/binary, 97>>,
            <<112, 16#FFFFFFFF:32, 1, 0:128, 1:32, 1:32>>,
            <<67, 16#FFFFFFFF:32, 0, Node/binary, Node/binary>>,
            %% not too long, but wrong
            <<119, 1, 255>>,
            <<118, 1021:16, (binary:copy(<<"a">>, 1021))/binary>>,
            <<70, 16#7FF0000000000000:64>>,
            <<99, "1.0e999", 0:192>>,
            <<77, 1:32, 0, 1>>,
            <<77, 1:32, 9, 1>>,
            <<90, 6:16, Node/binary, 1:32, 0:192>>,
            <<90, 0:16, Node/binary, 1:32>>,
            <<113, Node/binary, Node/binary, 98, 1:32>>
        ],
        "bad_term"
    ).

huge_arities(Context) ->
    Filling = binary:copy(<<106>>, 100000),
    bad_terms(
        Context,
        [
            <<Head/binary, Tail/binary>>
         || Head <- [
                <<105, 16#FFFFFFFF:32>>,
                <<108, 16#FFFFFFFF:32>>,
                <<116, 16#80000000:32>>,
                <<116, 16#FFFFFFFF:32>>,
                <<112, 16#FFFFFFFF:32, 1, 0:128, 1:32, 16#FFFFFFFF:32, 119, 1, "m", 97, 1, 97, 1,
                    (pid(atom("a@b"), 1))/binary>>,
                binary:copy(<<105, 16#FFFFFFFF:32>>, 10000),
                binary:copy(<<108, 16#FFFFFFFF:32>>, 10000),
                binary:copy(<<116, 16#FFFFFFFF:32>>, 10000)
            ],
            Tail <- [<<>>, Filling]
        ],
        "bad_term"
    ).

%% A BEAM closes the connection of whoever sends such a map: none must get
%% through to one.
keys_twice(Context) ->
    One = <<97, 1>>,
    Twice = [
        <<116, 2:32, 97, 1, 97, 2, 97, 1, 97, 3>>,
        <<116, 2:32, 97, 1, 97, 2, 98, 1:32, 97, 3>>,
        <<116, 2:32, 119, 1, "a", 97, 2, 100, 1:16, "a", 97, 3>>,
        <<116, 2:32, 107, 1:16, 1, 97, 2, 108, 1:32, 97, 1, 106, 97, 3>>,
        <<116, 2:32, 116, 2:32, 97, 1, 97, 2, 97, 2, 97, 1, 97, 0, 116, 2:32, 97, 2, 97, 1, 97, 1, 97,
            2, 97, 0>>,
        map(100, fun(I) -> <<98, (I rem 99):32>> end),
        map(100000, fun(I) -> <<98, (I rem 99999):32>> end),
        [<<116, 5000000:32>>, binary:copy(<<97, 1, 106>>, 5000000)]
    ],
    Around = fun(Term) -> [Term, tuple([One, Term]), [<<108, 1:32>>, Term, 106], [<<116, 1:32>>, Term, One]] end,
    bad_terms(Context, lists:append([Around(iolist_to_binary(T)) || T <- Twice]), "bad_term").

map(Count, Key) ->
    [<<116, Count:32>>, [[Key(I), 106] || I <- lists:seq(1, Count)]].

large_map(#{node := N, slow := Slow}) ->
    Raw = tb_raw:connect(N, name(1)),
    Count = 4000000 div Slow,
    Map = [<<116, Count:32>>, << <<98, I:32, 106>> || I <- lists:seq(1, Count) >>],
    Control = tuple([<<97, 6>>, pid(node_of(1), 1), atom(""), atom("tiebeam")]),
    ok = tb_raw:send_bytes(Raw, [112, 131, Control, 131, Map]),
    ?assertEqual(x, tb_raw:call(Raw, tiebeam, {echo, x})),
    tb_raw:close(Raw),
    [down("connection_closed", 1)].

%% Other atoms than names of nodes are not kept.
many_atoms(Context) ->
    Socket = connect(Context, 1),
    Node = node_of(1),
    Us = pid(Node, 1),
    Atoms = [tb_hostile:atom("atom", I) || I <- lists:seq(1, 100000)],
    ok = pour_reading(Socket, [
        [
            frame(tuple([<<97, 6>>, Us, atom(""), A]), A),
            frame(tuple([<<97, 19>>, Us, A, ref(Node, 1)]))
        ]
     || A <- Atoms
    ]),
    ok = gen_tcp:send(Socket, frame(tuple([<<97, 6>>, Us, atom(""), atom("tiebeam")]), [<<108, 100000:32>>, Atoms, 106])),
    finish(Context, Socket),
    [down("connection_closed", 1)].

%% All of it is taken, since the answers are.
pour_reading(Socket, Frames) ->
    tb_hostile:reading(Socket, fun() -> tb_hostile:pour_all(Socket, parts(1000, Frames)) end).

%% A peer that announces an atom cache, DFLAG_DIST_HDR_ATOM_CACHE.
with_cache(Context, I) ->
    Socket = tb_raw:plain_socket(tb_raw:connect(maps:get(node, Context), name(I), #{flags => tb_raw:flags() bor 16#2000})),
    ok = tb_hostile:raw(Socket),
    Socket.

%% A distribution header, and what follows.
headed(Atoms, Terms) ->
    Bytes = iolist_to_binary([131, 68, Atoms, Terms]),
    <<(byte_size(Bytes)):32, Bytes/binary>>.

%% To a registered process, with that payload.
to_name(Atoms, Payload) ->
    headed(Atoms, [tuple([<<97, 6>>, pid(node_of(1), 1), atom(""), atom("tiebeam")]), Payload]).

%% Each on a connection of its own.
bad_with_cache(Context, Frames, Why) ->
    [
        begin
            Socket = with_cache(Context, 1 + I div 10),
            _ = tb_hostile:pour(Socket, [Frame]),
            try
                tb_hostile:until_closed(Socket)
            catch
                error:not_closed -> error({not_closed, Why, Frame})
            end
        end
     || {I, Frame} <- lists:zip(lists:seq(1, length(Frames)), Frames)
    ],
    [down(Why, length(Frames))].

bad_references(Context) ->
    One = <<1, 8, 5, 1, $a>>,
    bad_with_cache(
        Context,
        [
            to_name(<<0>>, <<82, 0>>),
            to_name(<<0>>, [<<104, 2, 106>>, pid(<<82, 0>>, 1)]),
            to_name(One, <<82, 1>>),
            to_name(One, <<82, 255>>),
            to_name(One, ref(<<82, 9>>, 1)),
            %% slots that are unset: no atom at all, and others than this one
            to_name(<<1, 0, 5>>, <<106>>),
            to_name(<<1, 7, 255>>, <<82, 0>>),
            [to_name(One, <<82, 0>>), to_name(<<1, 0, 6>>, <<82, 0>>)],
            [to_name(One, <<82, 0>>), to_name(<<1, 1, 5>>, <<82, 0>>)],
            [to_name(One, <<82, 0>>), to_name(<<0>>, <<82, 0>>)]
        ],
        "bad_atom_cache"
    ).

bad_headers(Context) ->
    Long = binary:copy(<<"a">>, 256),
    bad_with_cache(
        Context,
        [
            headed(<<>>, <<>>),
            headed(<<1>>, <<>>),
            headed(<<255>>, binary:copy(<<16#88>>, 100)),
            headed(<<1, 8, 5>>, <<>>),
            headed(<<1, 8, 5, 200>>, <<"short">>),
            headed(<<1, 16#18, 5, 200>>, <<>>),
            headed(<<1, 16#18, 5, 60000:16>>, <<"short">>),
            headed(<<2, 16#88>>, <<>>),
            to_name(<<1, 16#18, 5, 256:16, Long/binary>>, <<82, 0>>),
            to_name(<<1, 16#18, 5, 1021:16, (binary:copy(<<"a">>, 1021))/binary>>, <<82, 0>>),
            to_name(<<1, 8, 5, 1, 255>>, <<82, 0>>),
            to_name(<<1, 8, 5, 3, 16#ED, 16#A0, 16#80>>, <<82, 0>>)
        ],
        "bad_atom_cache"
    ) ++
        %% what no node sends that has announced no fragments, or this flag
        bad_with_cache(
            Context,
            [
                frame(tuple([<<97, 6>>, pid(node_of(1), 1), atom(""), atom("tiebeam")]), <<106>>),
                <<4:32, 131, 69, 0, 0>>,
                <<4:32, 131, 70, 0, 0>>,
                <<1:32, 131>>,
                <<2:32, 68, 131>>
            ],
            "protocol_error"
        ).

%% Two bytes each, of which a thousand would come.
expansion(#{slow := Slow} = Context) ->
    Text = binary:copy(<<16#1F600/utf8>>, 255),
    Count = 30 * ?MIB div Slow,
    List = [<<108, Count:32>>, binary:copy(<<82, 0>>, Count), 106],
    bad_with_cache(Context, [to_name(<<1, 16#18, 5, (byte_size(Text)):16, Text/binary>>, List)], "system_limit").

%% All slots, three times over; the last atoms are the ones that are there.
full_caches(Context) ->
    Sockets = [with_cache(Context, I) || I <- lists:seq(1, 10)],
    [ok = tb_hostile:pour_all(S, full_cache(Char)) || Char <- [16#1F600, 16#1F601, 16#1F602], S <- Sockets],
    echoed_and_closed(Sockets, <<7, 250>>, binary:copy(<<16#1F602/utf8>>, 255)).

%% All at once, to one process.
growing(#{slow := Slow} = Context) ->
    Sockets = [with_cache(Context, I) || I <- lists:seq(1, 10)],
    Text = binary:copy(<<16#1F600/utf8>>, 255),
    Count = 32768 div Slow,
    List = [<<108, Count:32>>, binary:copy(<<82, 0>>, Count), 106],
    Message = to_name(<<1, 16#18, 5, (byte_size(Text)):16, Text/binary>>, List),
    [ok = tb_hostile:pour_all(S, lists:duplicate(5, Message)) || S <- Sockets],
    echoed_and_closed(Sockets, <<0, 5>>, Text).

%% What was sent before has been read, and the atom of that slot is there.
echoed_and_closed(Sockets, Slot, Text) ->
    [
        begin
            Control = tuple([<<97, 6>>, pid(node_of(I), 1), atom(""), atom("tiebeam")]),
            Request = tuple([atom("$gen_call"), tuple([pid(node_of(I), 1), ref(node_of(I), 1)]), tuple([atom("echo"), <<82, 0>>])]),
            ok = gen_tcp:send(S, headed([1, Slot], [Control, Request])),
            ok = until_received(S, iolist_to_binary(tuple([ref(node_of(I), 1), <<118, (byte_size(Text)):16, Text/binary>>])))
        end
     || {I, S} <- lists:zip(lists:seq(1, length(Sockets)), Sockets)
    ],
    [tb_hostile:close(S) || S <- Sockets],
    [down("connection_closed", length(Sockets))].

full_cache(Char) ->
    Text = binary:copy(<<Char/utf8>>, 255),
    [
        to_name(
            [<<128>>, binary:copy(<<(136 + 17 * Segment)>>, 64), 1, [<<Index, 1020:16, Text/binary>> || Index <- lists:seq(First, First + 127)]],
            <<106>>
        )
     || Segment <- lists:seq(0, 7), First <- [0, 128]
    ].

%% Everything that was sent has been handled; then it goes.
finish(#{node := N, beam := Beam}, Socket) ->
    Us = name(1),
    Node = node_of(1),
    Mark = ref(Node, 16#FFFFF),
    Control = tuple([<<97, 6>>, pid(Node, 1), atom(""), atom("tiebeam")]),
    Request = tuple([atom("$gen_call"), tuple([pid(Node, 1), Mark]), etf({echo, x})]),
    ok = tb_hostile:pour_all(Socket, [frame(Control, Request)]),
    ok = until_received(Socket, iolist_to_binary(tuple([Mark, etf(x)]))),
    #{nodes := #{Us := _}} = rpc:call(Beam, tb_lib, info, [N]),
    tb_hostile:close(Socket).

parts(_, []) -> [];
parts(N, List) when length(List) =< N -> [List];
parts(N, List) ->
    {Some, More} = lists:split(N, List),
    [Some | parts(N, More)].

%% Names of nodes are kept, but not so many.
many_names(#{node := N, beam := Beam} = Context) ->
    Socket = connect(Context, 1),
    Node = node_of(1),
    Control = tuple([<<97, 6>>, pid(Node, 1), atom(""), atom("tiebeam")]),
    ok = pour_reading(Socket, [
        begin
            Pid = pid(tb_hostile:atom("node" ++ lists:duplicate(I rem 100, $x) ++ "@", I), 1),
            Call = tuple([atom("$gen_call"), tuple([Pid, ref(Node, 1)]), etf({echo, x})]),
            frame(Control, Call)
        end
     || I <- lists:seq(1, 100000)
    ]),
    finish(Context, Socket),
    #{tables := #{node_names := Names}} = rpc:call(Beam, tb_lib, info, [N]),
    ?assert(Names > 32000 andalso Names < 34000),
    %% those that prove the cookie are still known
    Raw = tb_raw:connect(N, name(2)),
    ?assertEqual(x, tb_raw:call(Raw, tiebeam, {echo, x})),
    tb_raw:close(Raw),
    [down("connection_closed", 2)].

%% -------------------------------------------------------- control messages

unknown_control(#{node := N}) ->
    Raw = tb_raw:connect(N, name(1)),
    [tb_raw:send(Raw, {Op, x, tb_raw:pid(Raw, 1)}) || Op <- [0, 5, 9, 11, 38, 99, 255, 1 bsl 40] ++ lists:seq(100, 1100)],
    ?assertEqual(x, tb_raw:call(Raw, tiebeam, {echo, x})),
    %% terms of a later release
    [tb_raw:send_bytes(Raw, [112, 131, 104, 2, 97, 2, Tag, "later"]) || Tag <- lists:seq(200, 210)],
    ?assertEqual(x, tb_raw:call(Raw, tiebeam, {echo, x})),
    #{counters := Counters} = tb_raw:call(Raw, tiebeam, info),
    ?assertMatch(#{unknown_control := 1009, unknown_tag := 11}, Counters),
    tb_raw:close(Raw),
    [{"peer.unknown", "node=", 1}, down("connection_closed", 1)].

wrong_shapes(Context) ->
    Us = pid(node_of(1), 1),
    Stranger = pid(node_of(2), 1),
    Ref = ref(node_of(1), 1),
    Int = <<97, 1>>,
    Ops = [1, 2, 3, 4, 6, 7, 8, 12, 13, 16, 18, 19, 20, 21] ++ lists:seq(22, 37),
    Controls =
        [[]] ++
            [tuple([<<97, Op>>]) || Op <- Ops] ++
            [tuple([<<97, Op>> | lists:duplicate(9, Int)]) || Op <- Ops] ++
            [tuple([<<97, Op>> | lists:duplicate(A, <<106>>)]) || Op <- Ops, A <- [1, 2, 3, 4, 5]] ++
            %% in the name of somebody else
            [
                tuple([<<97, 1>>, Stranger, Us]),
                tuple([<<97, 4>>, Stranger, Us]),
                tuple([<<97, 19>>, Stranger, atom("tiebeam"), Ref]),
                tuple([<<97, 20>>, Stranger, atom("tiebeam"), Ref]),
                tuple([<<97, 35>>, Int, Stranger, Us]),
                tuple([<<97, 36>>, Int, Stranger, Us]),
                tuple([<<97, 35>>, <<97, 0>>, Us, Us]),
                tuple([<<97, 35>>, <<98, -1:32>>, Us, Us])
            ] ++
            %% no tuple, or no number in it
            [Int, <<106>>, <<104, 0>>, tuple([atom("send"), Us]), tuple([<<98, -1:32>>, Us])],
    Frames =
        [frame(C) || C <- Controls, C =/= []] ++
            %% no pass-through, no version
            [<<1:32, 112>>, <<2:32, 112, 130>>, <<3:32, 113, 131, 106>>],
    bad_frames(Context, fun(_) -> 1 end, Frames, "protocol_error").

%% ------------------------------------------------------------------ storms

-define(STORM, 300000).

monitors(Context) ->
    Node = node_of(1),
    Us = pid(Node, 1),
    storm(Context, fun(I) -> tuple([<<97, 19>>, Us, atom("tiebeam"), ref(Node, I)]) end),
    [down("system_limit", 1), {"peer.too_many_signals", "node=", 1}].

links(#{node := N, beam := Beam} = Context) ->
    Node = node_of(1),
    To = etf(rpc:call(Beam, tb_lib, pid_of, [N, tiebeam])),
    storm(Context, fun(I) -> tuple([<<97, 1>>, pid(Node, I), To]) end),
    [down("system_limit", 1), {"peer.too_many_signals", "node=", 1}].

storm(Context, Fun) ->
    Socket = connect(Context, 1),
    _ = tb_hostile:pour(Socket, storm_of(?STORM, Fun)),
    tb_hostile:until_closed(Socket).

storm_of(Count, Fun) ->
    [[frame(Fun(I)) || I <- Some] || Some <- parts(1000, lists:seq(1, Count))].

monitors_of_nobody(Context) ->
    Socket = connect(Context, 1),
    Node = node_of(1),
    Us = pid(Node, 1),
    Nobody = fun(I) -> tuple([<<97, 19>>, Us, tb_hostile:atom("nobody", I), ref(Node, I)]) end,
    stuck = tb_hostile:pour(Socket, storm_of(200000, Nobody)),
    tb_hostile:close(Socket),
    [down("connection_closed", 1)].

spawns(Context) ->
    Socket = connect(Context, 1),
    Node = node_of(1),
    Us = pid(Node, 1),
    Spawn = fun(I, Mfa, Args, Options) ->
        frame(tuple([<<97, 29>>, ref(Node, I), Us, Us, etf(Mfa), etf(Options)]), etf(Args))
    end,
    ok = pour_reading(Socket, [
        [
            Spawn(3 * I, {nobody, knows, 1}, [x], [monitor]),
            Spawn(3 * I + 1, {tiebeam, echo, 1}, [x], [link, monitor]),
            Spawn(3 * I + 2, {tiebeam, echo, 1}, [x], [])
        ]
     || I <- lists:seq(1, ?STORM div 9)
    ]),
    finish(Context, Socket),
    [down("connection_closed", 1)].

%% Calls that wait for a dial to a node that hangs.
waiting_calls(Context) ->
    with_hanging_node(fun(Hanging) ->
        Socket = connect(Context, 1),
        Node = node_of(1),
        Control = tuple([<<97, 6>>, pid(Node, 1), atom(""), atom("tiebeam")]),
        ok = pour_reading(Socket, [
            frame(Control, tuple([atom("$gen_call"), tuple([pid(Node, 1), ref(Node, I)]), etf({connect, Hanging})]))
         || I <- lists:seq(1, 100000)
        ]),
        finish(Context, Socket)
    end),
    [down("connection_closed", 1)].

waiting_spawned(Context) ->
    with_hanging_node(fun(Hanging) ->
        Socket = connect(Context, 1),
        Node = node_of(1),
        Us = pid(Node, 1),
        Mfa = etf({tiebeam, connect, 1}),
        ok = pour_reading(Socket, [
            frame(tuple([<<97, 29>>, ref(Node, I), Us, Us, Mfa, <<106>>]), etf([Hanging]))
         || I <- lists:seq(1, 100000)
        ]),
        finish(Context, Socket)
    end),
    [down("connection_closed", 1)].

%% It is in epmd, and whoever connects hears nothing.
with_hanging_node(Fun) ->
    {ok, Listener} = gen_tcp:listen(0, [binary, {active, false}, {backlog, 100}]),
    {ok, Port} = inet:port(Listener),
    {ok, Epmd} = gen_tcp:connect({127, 0, 0, 1}, tb_lib:epmd_port(), [binary, {active, false}]),
    Alive = list_to_binary(tb_lib:name(hanging)),
    Request = <<120, Port:16, 72, 0, 6:16, 5:16, (byte_size(Alive)):16, Alive/binary, 0:16>>,
    ok = gen_tcp:send(Epmd, <<(byte_size(Request)):16, Request/binary>>),
    {ok, <<118, 0, _:32>>} = gen_tcp:recv(Epmd, 0, 60000),
    try
        Fun(list_to_atom(tb_lib:name(hanging) ++ "@" ++ tb_lib:host()))
    after
        gen_tcp:close(Epmd),
        gen_tcp:close(Listener)
    end.

%% Answers to processes of nodes that do not exist.
many_dials(Context) ->
    Socket = connect(Context, 1),
    Node = node_of(1),
    Control = tuple([<<97, 6>>, pid(Node, 1), atom(""), atom("rex")]),
    Host = tb_lib:host(),
    ok = pour_reading(Socket, [
        frame(Control, tuple([pid(atom(["nobody", integer_to_list(I), "@", Host]), 1), atom("features_request")]))
     || I <- lists:seq(1, 10000)
    ]),
    finish(Context, Socket),
    [down("connection_closed", 1)].

many_messages(Context) ->
    Self = self(),
    Peers = [
        spawn_link(fun() ->
            Socket = connect(Context, I),
            Us = pid(node_of(I), 1),
            Cast = frame(tuple([<<97, 6>>, Us, atom(""), atom("tiebeam")]), etf({'$gen_cast', nothing})),
            ok = tb_hostile:pour_all(Socket, lists:duplicate(1000, binary:copy(Cast, 100))),
            Self ! {self(), sent},
            receive
                stop -> tb_hostile:close(Socket)
            end
        end)
     || I <- lists:seq(1, 10)
    ],
    [
        receive
            {P, sent} -> P ! stop
        end
     || P <- Peers
    ],
    [down("connection_closed", 10)].

suspended(#{beam := Beam, node := N} = Context) ->
    ok = rpc:call(Beam, sys, suspend, [{rex, N}]),
    Socket = connect(Context, 1),
    Us = pid(node_of(1), 1),
    Cast = frame(tuple([<<97, 6>>, Us, atom(""), atom("rex")]), [<<109, 1000000:32>>, binary:copy(<<1>>, 1000000)]),
    ok = tb_hostile:pour_all(Socket, lists:duplicate(100, Cast)),
    tb_lib:until(fun() -> is_pid(rpc:call(Beam, tb_lib, pid_of, [N, rex])) end),
    finish(Context, Socket),
    [{"process.mailbox_full", "name=rex", 1}, down("connection_closed", 1)].

large_frame(#{node := N, slow := Slow}) ->
    Raw = tb_raw:connect(N, name(1)),
    Us = pid(node_of(1), 1),
    Control = tuple([<<97, 6>>, Us, atom(""), atom("tiebeam")]),
    Count = 120 * ?MIB div Slow,
    List = [<<108, Count:32>>, binary:copy(<<106>>, Count), 106],
    Request = tuple([atom("$gen_call"), tuple([Us, ref(node_of(1), 1)]), tuple([atom("echo"), List])]),
    ok = tb_raw:send_bytes(Raw, [112, 131, Control, 131, Request]),
    ?assert(byte_size(next_frame(tb_raw:plain_socket(Raw))) > Count),
    tb_raw:close(Raw),
    [down("connection_closed", 1)].

%% On a machine under load a tick may come first.
next_frame(Socket) ->
    case gen_tcp:recv(Socket, 0, 60000) of
        {ok, <<>>} -> next_frame(Socket);
        {ok, Frame} -> Frame
    end.

%% -------------------------------------------------------- who does not read

never_reads(#{daemon := Daemon} = Context) ->
    Socket = connect(Context, 1),
    stuck = tb_hostile:pour(Socket, lists:duplicate(100, echo(1, ?MIB))),
    until_cut(Daemon, 1),
    tb_hostile:close(Socket),
    [{"node.slow", "node=", 1}, down("queue_full", 1)].

%% A call that asks for that many bytes.
echo(I, Bytes) ->
    Us = pid(node_of(I), 1),
    Term = tuple([atom("echo"), [<<109, Bytes:32>>, binary:copy(<<1>>, Bytes)]]),
    frame(
        tuple([<<97, 6>>, Us, atom(""), atom("tiebeam")]),
        tuple([atom("$gen_call"), tuple([Us, ref(node_of(I), 1)]), Term])
    ).

until_cut(Daemon, Count) ->
    tb_lib:until_equal(Count, fun() -> length(re_all(tb_lib:output(Daemon), "node.down. node=raw")) end, 30000).

re_all(Text, Pattern) ->
    case re:run(Text, Pattern, [global]) of
        {match, Found} -> Found;
        nomatch -> []
    end.

%% Each takes what it may, all together no more than all may.
many_never_read(#{daemon := Daemon} = Context) ->
    Count = 100,
    Calls = [{I, echo(I, ?MIB)} || I <- lists:seq(1, Count)],
    Self = self(),
    Pids = [
        spawn_link(fun() ->
            Socket = connect(Context, I),
            _ = tb_hostile:pour(Socket, lists:duplicate(100, Call)),
            Self ! {self(), stuck},
            receive
                close -> tb_hostile:close(Socket)
            end
        end)
     || {I, Call} <- Calls
    ],
    [
        receive
            {P, stuck} -> stuck
        end
     || P <- Pids
    ],
    until_cut(Daemon, Count),
    [P ! close || P <- Pids],
    %% who got less than what throttles it falls silent for us
    [down("queue_full", some), down("net_tick_timeout", some), {"node.slow", "node=", some}].

%% The fifth is more than all may have: one goes.
large_never_read(#{daemon := Daemon} = Context) ->
    Count = 10,
    Calls = [{I, echo(I, 60 * ?MIB)} || I <- lists:seq(1, Count)],
    Sockets = [
        begin
            Socket = connect(Context, I),
            ok = tb_hostile:pour_all(Socket, [Call]),
            %% the answer waits, or was too much for all
            until_has(Context, I, queued, 50 * ?MIB),
            Socket
        end
     || {I, Call} <- Calls
    ],
    until_cut(Daemon, Count),
    [tb_hostile:close(S) || S <- Sockets],
    [down("queue_full", Count), {"node.slow", "node=", some}].

%% It reads on, so it is alive: for longer than net_ticktime, and in the end it
%% has got all.
slow_reader(#{node := N} = Context) ->
    Port = tb_hostile:port(Context),
    Options = [binary, {active, false}, {recbuf, 4096}, {packet, 2}],
    {ok, Dialled} = gen_tcp:connect({127, 0, 0, 1}, Port, Options),
    Raw = tb_raw:connect(N, name(1), #{socket => {gen_tcp, Dialled}}),
    Socket = tb_raw:plain_socket(Raw),
    ok = tb_hostile:raw(Socket),
    ok = inet:setopts(Socket, [{buffer, 1024}, {send_timeout, infinity}]),
    Sender = spawn_link(fun() ->
        ok = tb_hostile:pour_all(Socket, lists:duplicate(10, echo(1, ?MIB))),
        receive
            stop -> ok
        end
    end),
    Slowly = read_slowly(Socket, erlang:monotonic_time(millisecond) + 3500, 0),
    ok = inet:setopts(Socket, [{recbuf, ?MIB}, {buffer, ?MIB}]),
    ok = read_at_least(Socket, 10 * ?MIB - Slowly),
    Sender ! stop,
    #{nodes := Nodes} = rpc:call(maps:get(beam, Context), tb_lib, info, [N]),
    ?assert(maps:is_key(name(1), Nodes)),
    tb_hostile:close(Socket),
    [{"node.slow", "node=", some}, down("connection_closed", 1)].

read_slowly(Socket, Until, Had) ->
    {ok, Bytes} = gen_tcp:recv(Socket, 1024, 60000),
    receive
    after 250 -> ok
    end,
    case erlang:monotonic_time(millisecond) < Until of
        true -> read_slowly(Socket, Until, Had + byte_size(Bytes));
        false -> Had + byte_size(Bytes)
    end.

read_at_least(_, Left) when Left =< 0 ->
    ok;
read_at_least(Socket, Left) ->
    {ok, Bytes} = gen_tcp:recv(Socket, 0, 60000),
    read_at_least(Socket, Left - byte_size(Bytes)).

%% ---------------------------------------------------------------- too many

%% Real nodes come in meanwhile, each time.
half_open(#{node := N} = Context) ->
    Port = tb_hostile:port(Context),
    Openers = [spawn_link(fun() -> keep_open(Port, I, #{}) end) || I <- lists:seq(1, 4)],
    tb_lib:until(fun() -> is_crowded(Context) end),
    Took = [
        begin
            Start = erlang:monotonic_time(millisecond),
            ?assertEqual(true, net_kernel:connect_node(N)),
            Ms = erlang:monotonic_time(millisecond) - Start,

            ?assertEqual(x, gen_server:call({tiebeam, N}, {echo, x}, 60000)),
            true = erlang:disconnect_node(N),
            Ms
        end
     || _ <- lists:seq(1, 20)
    ],
    [
        begin
            O ! {self(), stop},
            receive
                {O, stopped} -> ok
            end
        end
     || O <- Openers
    ],
    ?assert(lists:max(Took) =< 30000),
    [refused("system_limit: too many handshakes at once", some), refused("connection_closed", some)].

is_crowded(#{daemon := Daemon}) ->
    binary:match(tb_lib:output(Daemon), <<"reason=system_limit">>) =/= nomatch.

%% 500 connections: half of them say nothing, half tell a name. What is closed
%% is opened again.
keep_open(Port, I, Open) when map_size(Open) < 500 ->
    case gen_tcp:connect({127, 0, 0, 1}, Port, [binary, {active, true}, {packet, 2}], 5000) of
        {ok, Socket} ->
            Hello = tb_raw:hello(name(I), #{flags => tb_raw:flags(), creation => 17}),
            _ = map_size(Open) rem 2 =:= 0 andalso gen_tcp:send(Socket, Hello),
            keep_open(Port, I, Open#{Socket => true});
        {error, _} ->
            keep_open_wait(Port, I, Open)
    end;
keep_open(Port, I, Open) ->
    keep_open_wait(Port, I, Open).

keep_open_wait(Port, I, Open) ->
    receive
        {tcp_closed, Socket} ->
            keep_open(Port, I, maps:remove(Socket, Open));
        {From, stop} ->
            [tb_hostile:close(S) || S <- maps:keys(Open)],
            From ! {self(), stopped};
        _ ->
            keep_open(Port, I, Open)
    after 1000 ->
        keep_open(Port, I, Open)
    end.

%% Of 200 files half are kept for other things.
many_connections(#{node := N} = Context) ->
    {Closed, Open} = lists:partition(
        fun(R) -> R =:= refused end,
        [tries_to_connect(N, I) || I <- lists:seq(1, 150)]
    ),
    ?assertEqual({99, 51}, {length(Open), length(Closed)}),
    tb_lib:until_equal(100, fun() -> maps:size(maps:get(nodes, rpc:call(maps:get(beam, Context), tb_lib, info, [N]))) end),
    [tb_raw:close(Raw) || Raw <- Open],
    [refused("system_limit: too many connections", 51)].

tries_to_connect(N, I) ->
    try
        tb_raw:connect(N, name(I))
    catch
        error:_ -> refused
    end.

%% Connections that the daemon cannot even accept are closed; then all is well
%% again.
no_file_left(#{daemon := Daemon, node := N} = Context) ->
    Files = tb_lib:fds(Daemon) + 10,
    Pid = integer_to_list(tb_lib:os_pid(Daemon)),
    "" = os:cmd("prlimit --pid " ++ Pid ++ " --nofile=" ++ integer_to_list(Files) ++ ":"),
    Port = tb_hostile:port(Context),
    Sockets = [
        S
     || _ <- lists:seq(1, 100),
        {ok, S} <- [gen_tcp:connect({127, 0, 0, 1}, Port, [binary, {active, false}])]
    ],
    tb_lib:until(fun() -> length([S || S <- Sockets, gen_tcp:recv(S, 0, 10) =/= {error, timeout}]) >= 90 end),
    [tb_hostile:close(S) || S <- Sockets],
    tb_lib:until(fun() -> true =:= net_kernel:connect_node(N) end),
    true = erlang:disconnect_node(N),
    [refused("connection_closed", some)].
