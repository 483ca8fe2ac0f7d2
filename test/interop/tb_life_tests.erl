%% tb_life_tests - connections and programs that come and go: who dials, kills,
%% restarts, stopped peers, epmd that ends, cookies, names in use. After each
%% the survivor is as it was.
-module(tb_life_tests).
-include_lib("eunit/include/eunit.hrl").

-export([relay/3, watch/2]).

-define(TIMEOUT, 600).

-spec life_test_() -> tuple().
life_test_() ->
    {setup, fun setup/0, fun tb_lib:leave/1, [
        {timeout, ?TIMEOUT, {Title, fun() -> clean(Case) end}}
     || {Title, Case} <- tb_lib:chosen(cases())
    ]}.

setup() ->
    tb_lib:join(life).

clean(Case) ->
    _ = tb_lib:flush(),
    Case(),
    ?assertEqual([], tb_lib:flush()).

cases() ->
    [
        {"the BEAM dials", fun beam_dials/0},
        {"tiebeam dials", fun tiebeam_dials/0},
        {"both dial at once, the daemon's name is the lower one", fun() -> both_dial(aa, zz) end},
        {"both dial at once, the daemon's name is the higher one", fun() -> both_dial(zz, aa) end},
        {"both send at once, unconnected", fun both_send/0},
        {"two daemons dial each other at once", fun two_daemons/0},
        {"a name dials twice: the new connection counts", fun dials_twice/0},
        {"no dial while the other side's is on its way", fun dialled_meanwhile/0},
        {"a handshake that stops is given up", fun stalled_handshakes/0},
        {"kill -9 of the daemon, and it is back", fun daemon_killed/0},
        {"kill -9 of the BEAM, and it is back", fun beam_killed/0},
        {"a stopped BEAM", fun beam_stopped/0},
        {"a stopped BEAM is dropped after net_ticktime", fun beam_timed_out/0},
        {"a stopped daemon", fun daemon_stopped/0},
        {"nodeup and nodedown alternate", fun node_messages/0},
        {"nothing of a connection comes after its nodedown", fun node_order/0},
        {"epmd ends and is back: listed again, connections stay", fun epmd_killed/0},
        {"no epmd: one is started", fun epmd_started/0},
        {"no epmd, and none to be started", fun epmd_missing/0},
        {"restarts at once are never refused", fun restarts/0},
        {"two daemons of one name", fun name_in_use/0},
        {"long names", fun long_names/0},
        {"without epmd", fun without_epmd/0},
        {"a wrong cookie", fun wrong_cookies/0},
        {"a cookie for one peer", fun peer_cookie/0},
        {"SIGTERM leaves in good order", fun sigterm/0},
        {"peers that connect and are killed leave nothing", fun cycles/0},
        {"BEAM nodes that are killed leave nothing", fun beam_cycles/0},
        {"discovery by epmd finds both kinds of nodes", fun discovery/0}
    ].

%% ------------------------------------------------------------------ helper

with_daemon(Name, Fun) ->
    tb_lib:with_daemon(Name, #{}, Fun).

with_still_daemon(Fun) ->
    tb_lib:with_daemon(tb, #{config => tb_lib:still()}, Fun).

with_beam(Name, Fun) ->
    tb_lib:with_beam(Name, #{}, Fun).

%% Whether that BEAM node and that daemon see each other.
beam_sees(B, N) ->
    lists:member(N, rpc:call(B, erlang, nodes, [hidden])).

tiebeam_sees(N, B) ->
    maps:is_key(B, maps:get(nodes, tb_lib:info(N))).

connection_id(N, B) ->
    #{nodes := #{B := #{connection_id := Id}}} = tb_lib:info(N),
    Id.

down(Ref) ->
    receive
        {'DOWN', Ref, process, Object, Reason} -> {Object, Reason}
    after 60000 -> error({no_down, tb_lib:mailbox()})
    end.

one_message() ->
    receive
        Message -> Message
    after 60000 -> error(no_message)
    end.

raw_name(I) ->
    list_to_atom(tb_lib:name(raw, I) ++ "@" ++ tb_lib:host()).

%% ------------------------------------------------------------- who dials

beam_dials() ->
    with_daemon(tb, fun(_, N) ->
        ?assertEqual([], nodes(hidden)),
        ?assertEqual(true, net_kernel:connect_node(N)),
        ?assertEqual([N], nodes(hidden)),
        ?assert(tiebeam_sees(N, node()))
    end).

%% This VM gives the order; the second BEAM is the one that is dialled.
tiebeam_dials() ->
    with_daemon(tb, fun(_, N) ->
        with_beam(second, fun(_, B) ->
            ?assertEqual(ok, tb_lib:call(N, {connect, B})),
            ?assert(beam_sees(B, N)),
            ?assert(tiebeam_sees(N, B)),
            ?assertEqual(x, rpc:call(B, tb_lib, call, [N, {echo, x}])),
            %% a dial to a node that is dialled already: both are answered
            true = tb_lib:call(N, {disconnect, B}),
            Requests = [gen_server:send_request({tiebeam, N}, {connect, B}) || _ <- lists:seq(1, 20)],
            [?assertEqual({reply, ok}, gen_server:receive_response(R, 60000)) || R <- Requests],
            ?assertEqual(ok, tb_lib:call(N, {connect, B}))
        end)
    end).

%% Rounds of dials from both ends at the same moment: both succeed, and one
%% connection is there.
both_dial(DaemonName, BeamName) ->
    Rounds = tb_lib:int_env("TB_ROUNDS", 150),
    with_daemon(DaemonName, fun(Daemon, N) ->
        with_beam(BeamName, fun(_, B) ->
            tb_lib:until_equal(pong, fun() -> net_adm:ping(N) end),
            tb_lib:until_equal(pong, fun() -> net_adm:ping(B) end),
            Base = tb_lib:fds(Daemon),
            [dial_round(Daemon, N, B, Base, I) || I <- lists:seq(1, Rounds)]
        end)
    end).

dial_round(Daemon, N, B, Base, I) ->
    Ours = fun() -> tb_lib:call(N, {connect, B}) end,
    Theirs = fun() -> rpc:call(B, net_kernel, connect_node, [N]) end,
    [First, Second] =
        case I rem 2 of
            0 -> [Ours, Theirs];
            1 -> [Theirs, Ours]
        end,
    Self = self(),
    Pids = [spawn_link(fun() -> Self ! {self(), Fun()} end) || Fun <- [First, Second]],
    Results = [
        receive
            {P, Result} -> Result
        after 60000 -> error({hangs, I, P, tb_lib:mailbox()})
        end
     || P <- Pids
    ],
    ?assertEqual([ok, true], lists:sort(Results)),
    ?assertEqual(x, rpc:call(B, tb_lib, call, [N, {echo, x}])),
    tb_lib:until_equal(Base + 1, fun() -> tb_lib:fds(Daemon) end),
    ?assert(beam_sees(B, N)),
    disconnect(N, B, I),
    tb_lib:until(fun() -> not tiebeam_sees(N, B) end),
    tb_lib:until(fun() -> not beam_sees(B, N) end),
    tb_lib:until_equal(Base, fun() -> tb_lib:fds(Daemon) end).

disconnect(N, B, I) when I rem 3 =:= 0 ->
    true = tb_lib:call(N, {disconnect, B});
disconnect(N, B, _) ->
    true = rpc:call(B, erlang, disconnect_node, [N]).

%% The second BEAM calls while tiebeam calls it: a message that waits for the
%% connection is neither lost nor doubled, whichever dial wins.
both_send() ->
    with_daemon(mm, fun(_, N) ->
        with_beam(second, fun(_, B) ->
            [
                begin
                    Self = self(),
                    Caller = spawn_link(fun() -> Self ! {self(), rpc:call(B, ?MODULE, relay, [N, 20, I])} end),
                    ok = tb_lib:call(N, {connect, B}),
                    receive
                        {Caller, Result} -> ?assertEqual(lists:duplicate(20, I), Result)
                    after 60000 -> error({hangs, I})
                    end,
                    true = rpc:call(B, erlang, disconnect_node, [N])
                end
             || I <- lists:seq(1, 50)
            ]
        end)
    end).

-spec relay(node(), pos_integer(), term()) -> [term()].
relay(N, Times, Term) ->
    Requests = [gen_server:send_request({tiebeam, N}, {echo, Term}) || _ <- lists:seq(1, Times)],
    [
        begin
            {reply, Reply} = gen_server:receive_response(R, 60000),
            Reply
        end
     || R <- Requests
    ].

two_daemons() ->
    Rounds = tb_lib:int_env("TB_ROUNDS", 150),
    with_daemon(aa, fun(First, A) ->
        with_daemon(zz, fun(Second, Z) ->
            Fds = fun() -> {tb_lib:fds(First), tb_lib:fds(Second)} end,
            pong = net_adm:ping(A),
            pong = net_adm:ping(Z),
            {FirstBase, SecondBase} = Base = Fds(),
            [
                begin
                    [From, To] = lists:nth(I rem 2 + 1, [[A, Z], [Z, A]]),
                    One = gen_server:send_request({tiebeam, From}, {connect, To}),
                    Other = gen_server:send_request({tiebeam, To}, {connect, From}),
                    ?assertEqual({reply, ok}, gen_server:receive_response(One, 60000)),
                    ?assertEqual({reply, ok}, gen_server:receive_response(Other, 60000)),
                    tb_lib:until_equal({FirstBase + 1, SecondBase + 1}, Fds),
                    ?assert(tiebeam_sees(A, Z) andalso tiebeam_sees(Z, A)),
                    true = tb_lib:call(To, {disconnect, From}),
                    tb_lib:until_equal(Base, Fds)
                end
             || I <- lists:seq(1, Rounds)
            ]
        end)
    end).

%% A peer whose old connection died unseen dials again.
dials_twice() ->
    with_still_daemon(fun(Daemon, N) ->
        tb_lib:until_equal(pong, fun() -> net_adm:ping(N) end),
        Base = tb_lib:tables(N),
        Fds = tb_lib:fds(Daemon),
        Name = raw_name(1),
        Old = tb_raw:connect(N, Name),
        Id = connection_id(N, Name),
        tb_raw:send(Old, {1, tb_raw:pid(Old, 1), tb_lib:pid_of(N, tiebeam)}),
        New = tb_raw:connect(N, Name),
        ?assertEqual(closed, tb_raw:recv(Old)),
        ?assert(connection_id(N, Name) > Id),
        ?assertEqual(x, tb_raw:call(New, tiebeam, {echo, x})),
        %% with another cookie it is not the peer: the old one stays
        ?assertError(_, tb_raw:connect(N, Name, #{cookie => "wrong"})),
        ?assertEqual(y, tb_raw:call(New, tiebeam, {echo, y})),
        tb_raw:close(New),
        tb_lib:until_equal(Base, fun() -> tb_lib:tables(N) end),
        tb_lib:until_equal(Fds, fun() -> tb_lib:fds(Daemon) end)
    end).

%% That peer is in no epmd, so that a dial to it would fail at once.
dialled_meanwhile() ->
    Options = #{args => ["-kernel", "net_setuptime", "4"]},
    tb_lib:with_daemon(tb, Options, fun(_, N) ->
        tb_lib:until_equal(pong, fun() -> net_adm:ping(N) end),
        Name = raw_name(1),
        Connect = fun() -> gen_server:send_request({tiebeam, N}, {connect, Name}) end,
        %% it goes on: that is the connection
        Opened = tb_raw:open(N, Name, #{}),
        First = Connect(),
        timeout = gen_server:wait_response(First, 100),
        Raw = tb_raw:prove(Opened),
        ?assertEqual({reply, ok}, gen_server:receive_response(First, 60000)),
        ?assertEqual(x, tb_raw:call(Raw, tiebeam, {echo, x})),
        tb_raw:close(Raw),
        tb_lib:until(fun() -> not tiebeam_sees(N, Name) end),
        %% it ends, or stops half way: then it is dialled
        [
            begin
                Half = tb_raw:open(N, Name, #{}),
                Request = Connect(),
                timeout = gen_server:wait_response(Request, 50),
                End(Half),
                ?assertEqual(
                    {reply, {error, not_in_epmd}}, gen_server:receive_response(Request, 60000)
                ),
                tb_raw:close(Half)
            end
         || End <- [fun tb_raw:close/1, fun tb_raw:reset/1, fun(_) -> ok end]
        ]
    end).

stalled_handshakes() ->
    Options = #{args => ["-kernel", "net_setuptime", "1"]},
    tb_lib:with_daemon(tb, Options, fun(Daemon, N) ->
        tb_lib:until_equal(pong, fun() -> net_adm:ping(N) end),
        Fds = tb_lib:fds(Daemon),
        Hello = tb_raw:hello(raw_name(1), #{flags => tb_raw:flags(), creation => 17}),
        Sockets = [tb_raw:dial(N) || _ <- lists:seq(1, 20)],
        [tb_raw:socket_send(S, Hello) || S <- lists:sublist(Sockets, 10)],
        ?assertEqual(x, tb_lib:call(N, {echo, x})),
        tb_lib:until_equal(Fds, fun() -> tb_lib:fds(Daemon) end),
        [tb_raw:socket_close(S) || S <- Sockets],
        %% nonsense is closed at once
        Odd = tb_raw:dial(N),
        ok = tb_raw:socket_send(Odd, "GET / HTTP/1.0"),
        ?assertEqual({error, closed}, tb_raw:socket_recv(Odd, 60000)),
        tb_raw:socket_close(Odd)
    end).

%% ------------------------------------------------------- kills, restarts

daemon_killed() ->
    Daemon = tb_lib:daemon(tb),
    N = tb_lib:node_of(Daemon),
    Pid = tb_lib:pid_of(N, tiebeam),
    ByPid = monitor(process, Pid),
    ByName = monitor(process, {tiebeam, N}),
    true = erlang:monitor_node(N, true),
    process_flag(trap_exit, true),
    true = link(Pid),
    tb_lib:kill(Daemon),
    ?assertEqual({Pid, noconnection}, down(ByPid)),
    ?assertEqual({{tiebeam, N}, noconnection}, down(ByName)),
    ?assertEqual(
        lists:sort([{'EXIT', Pid, noconnection}, {nodedown, N}]),
        lists:sort([one_message(), one_message()])
    ),
    process_flag(trap_exit, false),
    with_daemon(tb, fun(_, Same) ->
        ?assertEqual(N, Same),
        ?assertEqual(pong, net_adm:ping(N)),
        New = tb_lib:pid_of(N, tiebeam),
        ?assertNotEqual(Pid, New),
        %% the old pid is of another incarnation
        ?assertEqual({Pid, noproc}, down(monitor(process, Pid))),
        ?assertMatch(
            {exit, {noproc, _}}, tb_lib:outcome(fun() -> gen_server:call(Pid, {echo, x}) end)
        ),
        exit(Pid, kill),
        ?assertEqual(New, tb_lib:pid_of(N, tiebeam))
    end).

beam_killed() ->
    with_still_daemon(fun(Daemon, N) ->
        tb_lib:until_equal(pong, fun() -> net_adm:ping(N) end),
        Base = tb_lib:tables(N),
        Fds = tb_lib:fds(Daemon),
        [
            begin
                Beam = tb_lib:beam(second),
                B = tb_lib:node_of(Beam),
                Watcher = rpc:call(B, erlang, spawn, [?MODULE, watch, [N, self()]]),
                watching(Watcher),
                ?assert(maps:get(links, tb_lib:tables(N)) > maps:get(links, Base)),
                %% a new one of the same name is there before the old is missed
                tb_lib:end_beam(Beam),
                Next = tb_lib:beam(second),
                ?assertEqual(true, rpc:call(B, net_kernel, connect_node, [N])),
                ?assertEqual(x, rpc:call(B, tb_lib, call, [N, {echo, x}])),
                tb_lib:end_beam(Next),
                tb_lib:until_equal(Base, fun() -> tb_lib:tables(N) end),
                tb_lib:until_equal(Fds, fun() -> tb_lib:fds(Daemon) end)
            end
         || _ <- [1, 2]
        ]
    end).

%% A process with links and monitors to all services.
-spec watch(node(), pid()) -> no_return().
watch(N, Parent) ->
    process_flag(trap_exit, true),
    _ = [monitor(process, {Name, N}) || Name <- [tiebeam, rex, net_kernel], _ <- [1, 2, 3]],
    _ = [link(tb_lib:pid_of(N, Name)) || Name <- [tiebeam, rex, net_kernel]],
    _ = tb_lib:call(N, {echo, x}),
    Parent ! {self(), watching},
    receive
        stop -> exit(normal)
    end.

watching(Watcher) ->
    receive
        {Watcher, watching} -> ok
    after 60000 -> error({not_watching, Watcher})
    end.

beam_stopped() ->
    Options = #{args => ["-kernel", "net_setuptime", "1"]},
    tb_lib:with_daemon(tb, Options, fun(_, N) ->
        with_beam(second, fun(Beam, B) ->
            ok = tb_lib:call(N, {connect, B}),
            Id = connection_id(N, B),
            tb_lib:signal(Beam, "STOP"),
            %% the others are served, and what is for it waits
            [x = tb_lib:call(N, {echo, x}) || _ <- lists:seq(1, 100)],
            ?assert(tiebeam_sees(N, B)),
            tb_lib:signal(Beam, "CONT"),
            ?assertEqual(y, rpc:call(B, tb_lib, call, [N, {echo, y}])),
            ?assertEqual(Id, connection_id(N, B)),
            %% dialled while it is stopped: given up after net_setuptime
            true = tb_lib:call(N, {disconnect, B}),
            tb_lib:until(fun() -> not beam_sees(B, N) end),
            tb_lib:signal(Beam, "STOP"),
            ?assertEqual({error, timeout}, tb_lib:call(N, {connect, B})),
            tb_lib:signal(Beam, "CONT"),
            ?assertEqual(ok, connect_later(N, B))
        end)
    end).

%% What the stopped node still has in its sockets may refuse the first dial.
connect_later(N, B) ->
    tb_lib:until(fun() -> tb_lib:call(N, {connect, B}) =:= ok end),
    ok.

beam_timed_out() ->
    Ticks = ["-kernel", "net_ticktime", "4"],
    tb_lib:with_daemon(tb, #{args => Ticks}, fun(_, N) ->
        tb_lib:with_beam(second, #{args => Ticks}, fun(Beam, B) ->
            erlang:disconnect_node(B),
            tb_lib:with_beam(third, #{args => Ticks}, fun(_, C) ->
                true = rpc:call(C, net_kernel, hidden_connect_node, [N]),
                true = rpc:call(C, net_kernel, hidden_connect_node, [B]),
                ok = rpc:call(C, tb_lib, call, [N, {connect, B}]),
                tb_lib:signal(Beam, "STOP"),
                Info = fun() -> rpc:call(C, tb_lib, info, [N]) end,
                tb_lib:until(fun() -> not maps:is_key(B, maps:get(nodes, Info())) end),
                %% nobody else is dropped
                ?assert(maps:is_key(C, maps:get(nodes, Info()))),
                tb_lib:signal(Beam, "CONT")
            end)
        end),
        erlang:disconnect_node(N)
    end).

daemon_stopped() ->
    with_daemon(tb, fun(Daemon, N) ->
        tb_lib:until_equal(pong, fun() -> net_adm:ping(N) end),
        tb_lib:signal(Daemon, "STOP"),
        ?assertExit({timeout, _}, gen_server:call({tiebeam, N}, {echo, x}, 100)),
        Requests = [gen_server:send_request({tiebeam, N}, {echo, I}) || I <- lists:seq(1, 1000)],
        Ref = monitor(process, {nobody, N}),
        tb_lib:signal(Daemon, "CONT"),
        [
            ?assertEqual({reply, I}, gen_server:receive_response(R, 60000))
         || {I, R} <- lists:zip(lists:seq(1, 1000), Requests)
        ],
        ?assertEqual({{nobody, N}, noproc}, down(Ref))
    end).

%% ---------------------------------------------------- nodeup, nodedown

node_messages() ->
    with_daemon(tb, fun(_, N) ->
        erlang:disconnect_node(N),
        _ = tb_lib:flush(),
        Options = [{node_type, all}, nodedown_reason],
        ok = net_kernel:monitor_nodes(true, Options),
        [
            begin
                true = net_kernel:connect_node(N),
                ?assertMatch({nodeup, N, [{node_type, hidden}]}, one_message()),
                case I rem 2 of
                    0 -> true = erlang:disconnect_node(N);
                    1 -> gen_server:cast({tiebeam, N}, x), _ = tb_lib:outcome(fun() -> tb_lib:call(N, {disconnect, node()}) end)
                end,
                {nodedown, N, Info} = one_message(),
                ?assertEqual(hidden, proplists:get_value(node_type, Info)),
                Reason = proplists:get_value(nodedown_reason, Info),
                ?assertEqual(element(I rem 2 + 1, {disconnect, connection_closed}), Reason)
            end
         || I <- lists:seq(1, 100)
        ],
        ok = net_kernel:monitor_nodes(false, Options)
    end).

%% Replies that were on their way when the connection went come before it or
%% never; requests after it belong to the next connection.
node_order() ->
    with_daemon(tb, fun(_, N) ->
        Options = [{node_type, all}],
        ok = net_kernel:monitor_nodes(true, Options),
        [
            begin
                tb_lib:until_equal(pong, fun() -> net_adm:ping(N) end),
                Requests = [gen_server:send_request({tiebeam, N}, {echo, I}) || I <- lists:seq(1, 50)],
                true = erlang:disconnect_node(N),
                Answers = [gen_server:receive_response(R, 60000) || R <- Requests],
                %% the answers are a first part, and then nothing
                Came = lists:takewhile(fun(A) -> element(1, A) =:= reply end, Answers),
                ?assertEqual([{reply, I} || I <- lists:seq(1, length(Came))], Came),
                ?assertEqual(
                    lists:duplicate(50 - length(Came), {error, {noconnection, {tiebeam, N}}}),
                    lists:nthtail(length(Came), Answers)
                )
            end
         || _ <- lists:seq(1, 20)
        ],
        ok = net_kernel:monitor_nodes(false, Options),
        Messages = tb_lib:flush(),
        Kinds = [element(1, M) || M <- Messages],
        ?assertEqual(lists:append(lists:duplicate(20, [nodeup, nodedown])), up_first(Kinds))
    end).

%% The daemon was connected before, when it was started.
up_first([nodedown | Kinds]) -> [nodeup, nodedown | Kinds];
up_first(Kinds) -> Kinds.

%% -------------------------------------------------------------------- epmd

%% With an epmd of its own, since this VM is listed in the other.
epmd_killed() ->
    Port = tb_lib:free_port(),
    Env = [{"ERL_EPMD_PORT", integer_to_list(Port)}],
    Epmd = tb_lib:start_epmd(Port),
    Beam = tb_lib:beam(second, #{env => Env}),
    %% it would start one before this case does
    Daemon = tb_lib:daemon(tb, #{env => Env, args => ["-start_epmd", "false"]}),
    N = tb_lib:node_of(Daemon),
    B = tb_lib:node_of(Beam),
    Raw = tb_raw:connect(N, raw_name(1), #{epmd => Port}),
    Connection = fun() ->
        #{nodes := #{B := #{connection_id := Id}}} = tb_raw:call(Raw, tiebeam, info),
        Id
    end,
    ok = tb_raw:call(Raw, tiebeam, {connect, B}),
    Id = Connection(),
    ok = tb_lib:end_epmd(Epmd),
    ?assertEqual({error, address}, names(Port)),
    Second = tb_lib:start_epmd(Port),
    Start = erlang:monotonic_time(millisecond),
    tb_lib:until(fun() -> is_listed("tb", Port) end),
    Took = erlang:monotonic_time(millisecond) - Start,
    ?assert(Took =< 30000),
    ?assertEqual(Id, Connection()),
    %% again, and many times in a row
    Last = lists:foldl(
        fun(_, E) ->
            ok = tb_lib:end_epmd(E),
            New = tb_lib:start_epmd(Port),
            tb_lib:until(fun() -> is_listed("tb", Port) end),
            New
        end,
        Second,
        lists:seq(1, 3)
    ),
    ?assertEqual(Id, Connection()),
    tb_raw:close(Raw),
    tb_lib:stop(Daemon),
    tb_lib:end_beam(Beam),
    ok = tb_lib:end_epmd(Last),
    ok = no_epmd(Port).

%% A daemon starts an epmd where there is none; this ends it.
no_epmd(Port) ->
    [tb_lib:signal(Pid, "KILL") || Pid <- tb_lib:epmd_pids(Port)],
    tb_lib:until(fun() -> tb_lib:epmd_pids(Port) =:= [] end).

names(Port) ->
    case tb_raw:names(Port) of
        {ok, Names} -> {ok, [Name || {Name, _} <- Names]};
        {error, _} -> {error, address}
    end.

is_listed(Name, Port) ->
    case names(Port) of
        {ok, Names} -> lists:member(Name, Names);
        {error, address} -> false
    end.

epmd_started() ->
    Port = tb_lib:free_port(),
    ?assertEqual([], tb_lib:epmd_pids(Port)),
    Daemon = tb_lib:daemon(tb, #{env => [{"ERL_EPMD_PORT", integer_to_list(Port)}]}),
    ?assert(is_listed("tb", Port)),
    tb_lib:stop(Daemon),
    tb_lib:until(fun() -> not is_listed("tb", Port) end),
    ?assertMatch([_], tb_lib:epmd_pids(Port)),
    no_epmd(Port).

epmd_missing() ->
    Port = tb_lib:free_port(),
    Daemon = tb_lib:daemon(tb, #{
        ready => false,
        args => ["-start_epmd", "false"],
        env => [{"ERL_EPMD_PORT", integer_to_list(Port)}]
    }),
    Output = tb_lib:wait_output(Daemon, <<"no epmd on port">>),
    ?assertEqual(69, tb_lib:wait_exit(Daemon)),
    ?assertMatch({match, _}, re:run(Output, "start_epmd is false")),
    ?assertEqual([], tb_lib:epmd_pids(Port)).

%% ---------------------------------------------------------------- restarts

restarts() ->
    Rounds = tb_lib:int_env("TB_RESTARTS", 50),
    [
        begin
            Daemon = tb_lib:daemon(tb),
            I rem 10 =:= 0 andalso ?assertEqual(pong, net_adm:ping(tb_lib:node_of(Daemon))),
            ?assertEqual(nomatch, binary:match(tb_lib:output(Daemon), <<"in use">>)),
            case I rem 2 of
                0 -> tb_lib:kill(Daemon);
                1 -> tb_lib:stop(Daemon)
            end
        end
     || I <- lists:seq(1, Rounds)
    ].

name_in_use() ->
    with_daemon(tb, fun(_, N) ->
        tb_lib:until_equal(pong, fun() -> net_adm:ping(N) end),
        ok = net_kernel:monitor_nodes(true, [{node_type, all}]),
        %% with discovery: whoever lacks the name must not dial with it
        Second = tb_lib:daemon(tb, #{ready => false, config => [{tiebeam, []}]}),
        Output = tb_lib:wait_output(Second, <<"in use">>),
        ?assertEqual(75, tb_lib:wait_exit(Second)),
        ?assertMatch({match, _}, re:run(Output, "the name tb@[^ ]* is in use")),
        ?assertEqual(x, tb_lib:call(N, {echo, x})),
        ok = net_kernel:monitor_nodes(false, [{node_type, all}]),
        ?assertEqual([], tb_lib:flush()),
        {ok, Names} = net_adm:names(),
        ?assert(lists:keymember("tb", 1, Names))
    end).

%% ------------------------------------------------------------- long names

%% This VM has a short name, so another BEAM asks, and prints the answer.
long_names() ->
    tb_lib:with_daemon(tb, #{host => "127.0.0.1"}, fun(_, N) ->
        ?assertEqual(pang, net_adm:ping(N)),
        asks(#{host => "127.0.0.1"}, N)
    end).

%% Each node listens on one port of an address of its own, as is the rule where
%% there is no epmd.
without_epmd() ->
    Port = integer_to_list(tb_lib:free_port()),
    Flags = ["-start_epmd", "false", "-erl_epmd_port", Port],
    %% no epmd listens there either
    Env = [{"ERL_EPMD_PORT", integer_to_list(tb_lib:free_port())}],
    Options = fun(Host, Address) ->
        Interface = ["-kernel", "inet_dist_use_interface", Address],
        #{host => Host, env => Env, args => Flags ++ Interface}
    end,
    tb_lib:with_daemon(tb, Options("127.0.0.2", "{127,0,0,2}"), fun(_, N) ->
        asks(Options("127.0.0.1", "{127,0,0,1}"), N)
    end).

asks(Options, N) ->
    Code = io_lib:format(
        "io:format(\"~~p ~~p~~n\", [net_adm:ping(~p), gen_server:call({tiebeam, ~p}, {echo, x})])",
        [N, N]
    ),
    Args = maps:get(args, Options, []) ++ ["-eval", lists:flatten(Code)],
    Beam = tb_lib:beam(asking, Options#{args => Args}),
    try
        _ = tb_lib:wait_output(Beam, <<"pong x\n">>)
    after
        tb_lib:end_beam(Beam)
    end.

%% ----------------------------------------------------------------- cookies

%% This VM keeps a cookie for each name, so these names are used only here.
wrong_cookies() ->
    tb_lib:with_daemon(wrong, #{cookie => "other"}, fun(Daemon, N) ->
        Fds = tb_lib:fds(Daemon),
        [?assertEqual(pang, net_adm:ping(N)) || _ <- lists:seq(1, 5)],
        ?assertEqual(false, net_kernel:connect_node(N)),
        ?assertEqual(
            {exit, {{nodedown, N}, {gen_server, call, [{tiebeam, N}, info]}}},
            tb_lib:outcome(fun() -> gen_server:call({tiebeam, N}, info) end)
        ),
        tb_lib:until_equal(Fds, fun() -> tb_lib:fds(Daemon) end),
        _ = tb_lib:wait_output(Daemon, <<"bad_cookie">>),
        %% with its cookie; and then it dials a node that has another
        true = erlang:set_cookie(N, other),
        ?assertEqual(pong, net_adm:ping(N)),
        with_beam(second, fun(_, B) ->
            ?assertMatch({error, _}, tb_lib:call(N, {connect, B})),
            ?assertNot(tiebeam_sees(N, B)),
            ?assertNot(beam_sees(B, N))
        end),
        true = erlang:disconnect_node(N)
    end).

peer_cookie() ->
    tb_lib:with_beam(special, #{cookie => "special"}, fun(_, B) ->
        Args = ["-setcookie", atom_to_list(B), "special"],
        tb_lib:with_daemon(tb, #{args => Args}, fun(_, N) ->
            true = erlang:set_cookie(B, special),
            tb_lib:until_equal(pong, fun() -> net_adm:ping(B) end),
            ?assertEqual(ok, tb_lib:call(N, {connect, B})),
            ?assertEqual(true, tb_lib:call(N, {disconnect, B})),
            tb_lib:until(fun() -> not beam_sees(B, N) end),
            ?assertEqual(x, rpc:call(B, tb_lib, call, [N, {echo, x}])),
            true = erlang:disconnect_node(B)
        end)
    end).

%% -------------------------------------------------------------------- ends

sigterm() ->
    Daemon = tb_lib:daemon(tb),
    N = tb_lib:node_of(Daemon),
    Pid = tb_lib:pid_of(N, tiebeam),
    ByPid = monitor(process, Pid),
    ByName = monitor(process, {rex, N}),
    ok = sys:suspend({net_kernel, N}),
    Waiting = gen_server:send_request({net_kernel, N}, {is_auth, node()}),
    {Spawned, SpawnedRef} = spawn_monitor(N, net_kernel, connect_node, [node()]),
    ?assertEqual(N, node(Spawned)),
    x = tb_lib:call(N, {echo, x}),
    true = erlang:monitor_node(N, true),
    tb_lib:stop(Daemon),
    ?assertEqual({Pid, shutdown}, down(ByPid)),
    ?assertEqual({{rex, N}, shutdown}, down(ByName)),
    ?assertMatch({error, {shutdown, _}}, gen_server:receive_response(Waiting, 60000)),
    ?assertMatch({Spawned, _}, down(SpawnedRef)),
    ?assertEqual({nodedown, N}, one_message()),
    {ok, Names} = net_adm:names(),
    ?assertNot(lists:keymember("tb", 1, Names)),
    %% and by request
    with_own_end(fun(Node) -> ok = tb_lib:call(Node, stop) end),
    with_own_end(fun(Node) -> ok = rpc:call(Node, init, stop, []) end).

with_own_end(Fun) ->
    Daemon = tb_lib:daemon(tb),
    Fun(tb_lib:node_of(Daemon)),
    ?assertEqual(0, tb_lib:wait_exit(Daemon)).

%% Peers leave in the middle of all that can be going on.
cycles() ->
    Rounds = tb_lib:int_env("TB_CYCLES", 100),
    with_still_daemon(fun(Daemon, N) ->
        tb_lib:until_equal(pong, fun() -> net_adm:ping(N) end),
        Services = [tb_lib:pid_of(N, Name) || Name <- [tiebeam, rex, net_kernel]],
        Base = tb_lib:tables(N),
        Fds = tb_lib:fds(Daemon),
        [cycle(N, Services, I) || I <- lists:seq(1, Rounds)],
        tb_lib:until_equal(Base, fun() -> tb_lib:tables(N) end),
        tb_lib:until_equal(Fds, fun() -> tb_lib:fds(Daemon) end),
        ?assertEqual(Services, [tb_lib:pid_of(N, Name) || Name <- [tiebeam, rex, net_kernel]]),
        %% names are kept for ever, so there must be few of them
        ?assert(maps:get(node_names, maps:get(tables, tb_lib:info(N))) < 20)
    end).

cycle(N, Services, I) ->
    Raw = tb_raw:connect(N, raw_name(I rem 4), #{creation => 16#1000 + I}),
    Us = tb_raw:pid(Raw, 1),
    [
        begin
            tb_raw:send(Raw, {19, Us, S, tb_raw:ref(Raw, 100 * I + K)}),
            tb_raw:send(Raw, {1, tb_raw:pid(Raw, K), S})
        end
     || S <- Services, K <- [1, 2, 3]
    ],
    tb_raw:send(Raw, {29, tb_raw:ref(Raw, 50), Us, Us, {tiebeam, echo, 1}, [link, monitor]}, [x]),
    tb_raw:send(Raw, {29, tb_raw:ref(Raw, 51), Us, Us, {net_kernel, connect_node, 1}, [monitor]}, [
        'nobody@127.0.0.1'
    ]),
    case I rem 5 of
        0 ->
            x = tb_raw:call(Raw, tiebeam, {echo, x}),
            tb_raw:close(Raw);
        1 ->
            tb_raw:reset(Raw);
        2 ->
            %% get_state asks back, and nobody will answer
            tb_raw:send(Raw, {6, Us, '', tiebeam}, {system, {Us, tb_raw:ref(Raw, 52)}, get_state}),
            tb_raw:reset(Raw);
        3 ->
            %% half a frame
            ok = tb_raw:socket_setopts(maps:get(socket, Raw), [{packet, raw}]),
            tb_raw:send_bytes(Raw, <<1000000:32, 112, 131>>),
            tb_raw:close(Raw);
        4 ->
            %% not even that: the same name dials over it
            Again = tb_raw:connect(N, raw_name(I rem 4), #{creation => 16#2000 + I}),
            tb_raw:reset(Raw),
            tb_raw:reset(Again)
    end.

beam_cycles() ->
    with_still_daemon(fun(Daemon, N) ->
        tb_lib:until_equal(pong, fun() -> net_adm:ping(N) end),
        Base = tb_lib:tables(N),
        Fds = tb_lib:fds(Daemon),
        Rounds = max(3, tb_lib:int_env("TB_CYCLES", 100) div 30),
        [
            begin
                Beam = tb_lib:beam(second),
                B = tb_lib:node_of(Beam),
                Watchers = [rpc:call(B, erlang, spawn, [?MODULE, watch, [N, self()]]) || _ <- [1, 2, 3]],
                [watching(W) || W <- Watchers],
                tb_lib:end_beam(Beam)
            end
         || _ <- lists:seq(1, Rounds)
        ],
        tb_lib:until_equal(Base, fun() -> tb_lib:tables(N) end),
        tb_lib:until_equal(Fds, fun() -> tb_lib:fds(Daemon) end)
    end).

%% --------------------------------------------------------------- discovery

discovery() ->
    Source = {source, {epmd, [tb_lib:host()]}},
    Config = [{tiebeam, [{discovery, [{dns_cluster, [Source, {interval, 100}]}]}]}],
    tb_lib:with_daemon(tb, #{config => Config}, fun(_, N) ->
        tb_lib:until(fun() -> lists:member(N, nodes(hidden)) end),
        {Connected, []} = gen_server:call({dns_cluster, N}, discover_nodes),
        ?assert(lists:member(node(), Connected)),
        ?assertEqual(true, gen_server:call({dns_cluster, N}, has_ran)),
        with_beam(second, fun(_, B) ->
            tb_lib:until(fun() -> tiebeam_sees(N, B) end),
            with_daemon(other, fun(_, O) ->
                tb_lib:until(fun() -> tiebeam_sees(N, O) end),
                ?assert(tiebeam_sees(O, N))
            end)
        end),
        tb_lib:until(fun() -> maps:keys(maps:get(nodes, tb_lib:info(N))) =:= [node()] end)
    end).
