%% tb_detect_tests - how soon a node that has gone silent is suspect and down,
%% whichever way it went; and that no healthy node ever is.
-module(tb_detect_tests).
-include_lib("eunit/include/eunit.hrl").

-define(TIMEOUT, 120 + tb_lib:int_env("TB_QUIET_S", 30)).
-define(MON, tiebeam_node_monitor).

-export([spin/1, load/3]).

-spec detect_test_() -> tuple() | [tuple()].
detect_test_() ->
    case tb_netns:available() of
        true ->
            {setup, fun setup/0, fun cleanup/1, fun(_) ->
                [
                    {timeout, ?TIMEOUT, {Title, fun() -> clean(Case) end}}
                 || {Title, Case} <- tb_lib:chosen(cases())
                ]
            end};
        {false, Why} ->
            io:format(user, "SKIPPED tb_detect_tests: ~s~n", [Why]),
            []
    end.

setup() ->
    tb_netns:join(1 + quiet_nodes()).

cleanup(World) ->
    tb_netns:leave(World).

clean(Case) ->
    _ = tb_lib:flush(),
    persistent_term:put(?MODULE, 0),
    Watch = spawn_link(fun() -> lateness(0) end),
    Case(),
    unlink(Watch),
    exit(Watch, kill),
    ?assertEqual([], tb_lib:flush()).

cases() ->
    [
        {"SIGKILL: down at once", fun sigkill/0},
        {"SIGSTOP: suspect within a second, down as configured", fun sigstop/0},
        {"a link cut towards it", fun() -> cut(ab) end},
        {"a link cut towards us", fun() -> cut(ba) end},
        {"a link cut in both directions", fun() -> cut(both) end},
        {"a host that is gone", fun black_hole/0},
        {"suspect, and back", fun and_back/0},
        {"others hear it: not down", fun() -> indirect(2000) end},
        {"others hear it: not down, however soon it would be", fun() -> indirect(1000) end},
        {"off, on, and other parameters at run time", fun reconfigured/0},
        {"nobody is suspect for nothing", fun idle/0},
        {"no false alarm: busy nodes, big messages, bad links, a stop of our own", fun quiet/0}
    ].

%% ------------------------------------------------------------------ helper

config(Monitor) ->
    #{config => [{tiebeam, [{discovery, []}, {node_monitor, Monitor}]}]}.

%% A daemon on the first host and a BEAM on the second one, with a wire between
%% them; this VM gets the states that the daemon sees.
with_pair(Detector, Fun) ->
    Wire = tb_netns:wire(1, 2),
    Daemon = tb_lib:daemon(tb, tb_netns:options(1, config([{detector, Detector}]))),
    Beam = tb_lib:beam(b, tb_netns:options(2, #{})),
    N = tb_lib:node_of(Daemon),
    B = tb_lib:node_of(Beam),
    try
        tb_lib:until_equal(pong, fun() -> net_adm:ping(N) end),
        ok = tb_lib:call(N, {connect, B}),
        ok = ?MON:monitor_states(N, true),
        Fun(#{wire => Wire, daemon => Daemon, beam => Beam, n => N, b => B})
    after
        ok = ?MON:monitor_states(N, false),
        _ = tb_lib:flush(),
        tb_lib:signal(Beam, "CONT"),
        tb_lib:end_beam(Beam),
        tb_lib:stop(Daemon),
        tb_netns:unwire(Wire)
    end.

now_ms() ->
    erlang:monotonic_time(millisecond).

%% Milliseconds from Since until that node is in that state.
state_after(Since, Node, State) ->
    receive
        {node_state, Node, State, Info} -> {now_ms() - Since, Info};
        %% a machine that stood still: for a moment it was not heard of
        {node_state, Node, suspect, _} when State =/= suspect -> state_after(Since, Node, State);
        {node_state, Node, up, #{from := suspect}} when State =/= up -> state_after(Since, Node, State);
        {node_state, Node, Other, Info} -> error({expected, State, got, Other, Info})
    after 90000 -> error({never, State})
    end.

%% Suspect in time, down in time; then the connection is gone.
silent(#{n := N, b := B}, Since, DownMs) ->
    {Suspect, _} = state_after(Since, B, suspect),
    {Down, Info} = state_after(Since, B, down),
    report(Suspect, Down),
    ?assert(Suspect =< 1000 + slack()),
    ?assert(Suspect >= 100),
    ?assert(Down >= DownMs - 600),
    ?assert(Down =< DownMs + slack()),
    ?assertMatch(#{from := suspect, reason := probe_timeout}, Info),
    ?assertNot(lists:member(B, ?MON:nodes(N))).

%% How long the news of it may take on a machine that others use as well, and as
%% much longer as it was seen to wake somebody too late; what it takes on one that
%% is idle is in detection.md.
slack() ->
    5000 + 2 * persistent_term:get(?MODULE).

%% The most milliseconds that this VM was late in this case.
lateness(Late) ->
    persistent_term:put(?MODULE, Late),
    At = now_ms(),
    pause(10),
    lateness(max(Late, now_ms() - At - 11)).

report(Suspect, Down) ->
    os:getenv("TB_VERBOSE", "") =/= "" andalso
        io:format(user, "    suspect after ~b ms, down after ~b ms~n", [Suspect, Down]).

%% ------------------------------------------------------------------- ends

sigkill() ->
    with_pair([], fun(#{beam := Beam, b := B}) ->
        Since = now_ms(),
        tb_lib:signal(Beam, "KILL"),
        {Ms, Info} = state_after(Since, B, down),
        ?assertMatch(#{from := up, reason := connection_closed}, Info),
        ?assert(Ms =< 100 + slack())
    end).

sigstop() ->
    with_pair([{down_ms, 2000}, {indirect, 0}], fun(#{beam := Beam} = P) ->
        Since = now_ms(),
        tb_lib:signal(Beam, "STOP"),
        silent(P, Since, 2000)
    end).

cut(Way) ->
    with_pair([{down_ms, 2000}, {indirect, 0}], fun(#{wire := Wire} = P) ->
        Since = now_ms(),
        ok = tb_netns:set(Wire, Way, 0, 0, 100),
        silent(P, Since, 2000)
    end).

%% The wire itself goes: no address answers any more, nobody says so.
black_hole() ->
    with_pair([{down_ms, 2000}, {indirect, 0}], fun(#{b := B, n := N} = P) ->
        Ns = os:getenv("TB_NETNS", "tbn") ++ "1",
        Since = now_ms(),
        "" = os:cmd("ip -n " ++ Ns ++ " route replace blackhole 10.77.0.2"),
        silent(P, Since, 2000),
        "" = os:cmd("ip -n " ++ Ns ++ " route replace 10.77.0.2 dev tb1to2 src 10.77.0.1"),
        %% it is looked for, and found again
        {_, Info} = state_after(now_ms(), B, up),
        ?assertMatch(#{from := down, reason := connected}, Info),
        ?assert(lists:member(B, ?MON:nodes(N)))
    end).

and_back() ->
    with_pair([], fun(#{beam := Beam, b := B, n := N}) ->
        Since = now_ms(),
        tb_lib:signal(Beam, "STOP"),
        {Suspect, _} = state_after(Since, B, suspect),
        ?assert(Suspect =< 1000 + slack()),
        ?assert(lists:member(B, ?MON:nodes(N))),
        Again = now_ms(),
        tb_lib:signal(Beam, "CONT"),
        {Up, Info} = state_after(Again, B, up),
        ?assert(Up =< slack()),
        ?assertMatch(#{from := suspect, reason := heard}, Info),
        #{nodes := #{B := #{detector := Detector}}} = ?MON:info(N),
        ?assertMatch(#{suspicions := 1, answers := A} when A > 0, Detector)
    end).

%% This VM is connected to both, over links that are whole.
indirect(DownMs) ->
    with_pair([{down_ms, DownMs}], fun(#{wire := Wire, b := B, n := N}) ->
        pong = net_adm:ping(B),
        ok = sys:suspend({net_kernel, B}),
        Since = now_ms(),
        ok = tb_netns:set(Wire, both, 0, 0, 100),
        {_, _} = state_after(Since, B, suspect),
        %% it takes a while to say that it is well
        pause(300),
        ok = sys:resume({net_kernel, B}),
        receive
            {node_state, B, Other, Info} -> error({Other, Info})
        after 5000 -> ok
        end,
        ?assertMatch(#{nodes := #{B := #{state := suspect}}}, ?MON:info(N)),
        %% and when we do not hear it either
        true = erlang:disconnect_node(B),
        {_, #{reason := probe_timeout}} = state_after(now_ms(), B, down)
    end).

reconfigured() ->
    with_pair(off, fun(#{beam := Beam, b := B, n := N}) ->
        tb_lib:signal(Beam, "STOP"),
        receive
            {node_state, B, _, _} = Event -> error(Event)
        after 2500 -> ok
        end,
        #{nodes := #{B := #{detector := off}}} = ?MON:info(N),
        Since = now_ms(),
        ok = gen_server:call({node_monitor, N}, {reconfigure, [{detector, [{suspect_ms, 500}]}]}, 60000),
        {Suspect, _} = state_after(Since, B, suspect),
        ?assert(Suspect >= 400),
        ?assert(Suspect =< 600 + slack()),
        ok = gen_server:call({node_monitor, N}, {reconfigure, [{detector, off}]}, 60000),
        {_, #{reason := detector_off}} = state_after(now_ms(), B, up),
        ok = gen_server:call(
            {node_monitor, N},
            {reconfigure, [{detector, [{suspect_ms, 500}, {down_ms, 1000}, {indirect, 0}]}]}
        ),
        {_, _} = state_after(now_ms(), B, suspect),
        {_, #{reason := probe_timeout}} = state_after(now_ms(), B, down)
    end).

idle() ->
    with_pair([{suspect_ms, 15000}, {probe_ms, 150}, {down_ms, 30000}], fun(#{b := B, n := N}) ->
        receive
            {node_state, B, _, _} = Event -> error(Event)
        after 3000 -> ok
        end,
        tb_lib:until(fun() ->
            #{nodes := #{B := #{detector := #{probes := P}}}} = ?MON:info(N),
            P >= 10
        end),
        #{nodes := #{B := #{detector := Detector}}, stalls := Stalls} = ?MON:info(N),
        #{suspicions := 0, probes := Probes, answers := Answers, rtt_us := Rtt} = Detector,
        ?assert(Answers >= Probes - 1),
        ?assert(Rtt > 0),
        ?assert(is_integer(Stalls))
    end).

%% ------------------------------------------------------- no false alarm

%% Beside this VM, which has a direct link.
quiet_nodes() ->
    tb_lib:int_env("TB_QUIET_NODES", 4) - 1.

%% How many percent of the time all schedulers of a node are busy, and the
%% milliseconds between two big messages: a machine that has twenty of these
%% hosts, and others' work, has not the cores of twenty.
busy_percent() ->
    tb_lib:int_env("TB_QUIET_BUSY", 100).

every_ms() ->
    tb_lib:int_env("TB_QUIET_EVERY_MS", 2000).

schedulers() ->
    case busy_percent() of
        100 -> #{};
        _ -> #{args => ["+S", "1:1"]}
    end.

%% In turn: a clean link with big messages; one that is slow and lossy, idle;
%% one that is slow and lossy, with messages. All schedulers are busy. The
%% biggest ones come from one node: a daemon takes 192 MiB at a time from all.
link_of(3) -> {0, 0, 0, 1000000 * tb_lib:int_env("TB_QUIET_MB", 10)};
link_of(I) when I rem 3 =:= 0 -> {0, 0, 0, 2000000};
link_of(I) when I rem 3 =:= 1 -> {200, 100, 5, 0};
link_of(I) when I rem 3 =:= 2 -> {200, 100, 5, 20000}.

quiet() ->
    Seconds = tb_lib:int_env("TB_QUIET_S", 30),
    Hosts = lists:seq(2, 1 + quiet_nodes()),
    Wires = [tb_netns:wire(1, H) || H <- Hosts],
    %% nobody else's word helps
    Detector = {detector, [{suspect_ms, 1000}, {down_ms, 5000}, {indirect, 0}]},
    Daemon = tb_lib:daemon(tb, tb_netns:options(1, config([Detector]))),
    N = tb_lib:node_of(Daemon),
    Beams = [tb_lib:beam(b, tb_netns:options(H, schedulers())) || H <- Hosts],
    Nodes = [tb_lib:node_of(B) || B <- Beams],
    try
        tb_lib:until_equal(pong, fun() -> net_adm:ping(N) end),
        [ok = tb_lib:call(N, {connect, B}) || B <- Nodes],
        Before = ids(N),
        ?assertEqual(length(Nodes) + 1, map_size(Before)),
        ok = ?MON:monitor_states(N, true),
        disturb(N, lists:zip3(Hosts, Wires, Nodes)),
        %% we ourselves are away for three seconds, every now and then
        Stops = max(1, Seconds div 600),
        [
            begin
                pause(Seconds * 1000 div (Stops + 1)),
                I > Stops orelse stop_for(Daemon, 3000)
            end
         || I <- lists:seq(1, Stops + 1)
        ],
        [ok = tb_netns:set(W, both, 0, 0, 0) || W <- Wires],
        ok = ?MON:monitor_states(N, false),
        ?assertEqual([], [E || {node_state, _, down, _} = E <- tb_lib:flush()]),
        ?assertEqual(Before, ids(N)),
        %% the messages did come
        Peers = maps:get(nodes, tb_lib:info(N)),
        [
            ?assert(maps:get(bytes_in, maps:get(B, Peers)) >= element(4, link_of(H)))
         || {H, B} <- lists:zip(Hosts, Nodes), element(3, link_of(H)) =:= 0
        ],
        #{nodes := States, stalls := Stalls} = ?MON:info(N),
        ?assert(Stalls >= Stops),
        Suspicions = [S || #{detector := #{suspicions := S}} <- maps:values(States)],
        io:format(user, "  no false alarm: ~b s, ~b nodes, ~b MB came, ~b stops, suspicions of each: ~w~n", [
            Seconds,
            map_size(Before),
            lists:sum([Bytes || #{bytes_in := Bytes} <- maps:values(Peers)]) div 1000000,
            Stops,
            Suspicions
        ])
    after
        lists:foreach(fun tb_lib:end_beam/1, Beams),
        tb_lib:signal(Daemon, "CONT"),
        tb_lib:stop(Daemon),
        lists:foreach(fun tb_netns:unwire/1, Wires)
    end.

stop_for(Daemon, Ms) ->
    tb_lib:signal(Daemon, "STOP"),
    pause(Ms),
    tb_lib:signal(Daemon, "CONT").

ids(N) ->
    maps:map(fun(_, #{connection_id := Id}) -> Id end, maps:get(nodes, tb_lib:info(N))).

pause(Ms) ->
    receive
    after Ms -> ok
    end.

disturb(N, Links) ->
    [
        begin
            {Delay, Jitter, Loss, Bytes} = link_of(H),
            [
                rpc:call(B, erlang, spawn, [?MODULE, spin, [busy_percent()]])
             || _ <- lists:seq(1, rpc:call(B, erlang, system_info, [schedulers]))
            ],
            ok = tb_netns:set(Wire, both, Delay, Jitter, Loss),
            Bytes > 0 andalso rpc:call(B, erlang, spawn, [?MODULE, load, [N, Bytes, every_ms()]])
        end
     || {H, Wire, B} <- Links
    ],
    ok.

%% Two seconds at a time, twice what makes a silent node suspect.
-spec spin(1..100) -> no_return().
spin(100) ->
    spin(100);
spin(Percent) ->
    Period = 200000 div Percent,
    pause(rand:uniform(Period - 2000)),
    busy_until(now_ms() + 2000),
    spin(Percent).

busy_until(Ms) ->
    now_ms() >= Ms orelse busy_until(Ms).

%% There and back again.
-spec load(node(), pos_integer(), pos_integer()) -> no_return().
load(N, Bytes, EveryMs) ->
    _ = (catch gen_server:call({tiebeam, N}, {echo, binary:copy(<<7>>, Bytes)}, infinity)),
    pause(EveryMs),
    load(N, Bytes, EveryMs).
