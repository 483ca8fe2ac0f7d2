%% tb_detect_table - how soon each way of going silent is noticed: by a BEAM
%% node with default ticks, by a tiebeam with defaults, and by one with down_ms,
%% all three side by side on one host. Prints Markdown.
%%
%%   make detection
-module(tb_detect_table).

-export([main/0, watch/1]).

-define(MON, tiebeam_node_monitor).
-define(DOWN_MS, 3000).

-spec main() -> no_return().
main() ->
    true = tb_netns:available(),
    Rounds = tb_lib:int_env("TB_ROUNDS", 3),
    Events = events(),
    World = tb_netns:join(1 + length(Events)),
    try
        Results = [one_round(Events) || _ <- lists:seq(1, Rounds)],
        print(Events, Results)
    after
        tb_netns:leave(World)
    end,
    halt(0).

events() ->
    [
        {"SIGKILL", fun(_, Beam, _) -> tb_lib:signal(Beam, "KILL") end},
        {"SIGSTOP", fun(_, Beam, _) -> tb_lib:signal(Beam, "STOP") end},
        {"link cut towards it", fun(Wire, _, _) -> tb_netns:set(Wire, ab, 0, 0, 100) end},
        {"link cut towards us", fun(Wire, _, _) -> tb_netns:set(Wire, ba, 0, 0, 100) end},
        {"link cut in both directions", fun(Wire, _, _) -> tb_netns:set(Wire, both, 0, 0, 100) end},
        {"its host is gone", fun(_, _, Host) -> tb_netns:vanish(Host) end}
    ].

%% [{Node, {BeamDown, Suspect, DefaultDown, ConfiguredSuspect, ConfiguredDown}}]
one_round(Events) ->
    Hosts = lists:seq(2, 1 + length(Events)),
    Wires = [tb_netns:wire(1, H) || H <- Hosts],
    Beams = [tb_lib:beam(b, tb_netns:options(H, #{})) || H <- Hosts],
    Nodes = [tb_lib:node_of(B) || B <- Beams],
    Observer = tb_lib:beam(observer, tb_netns:options(1, #{})),
    Default = daemon(tb_default, []),
    Configured = daemon(tb_down, [{down_ms, ?DOWN_MS}, {indirect, 0}]),
    try
        O = tb_lib:node_of(Observer),
        [true = rpc:call(O, net_kernel, connect_node, [N]) || N <- Nodes],
        _ = rpc:call(O, erlang, spawn, [?MODULE, watch, [self()]]),
        receive
            watching -> ok
        end,
        _ = [observe(D, Nodes) || D <- [Default, Configured]],
        [
            begin
                At = now_ms(),
                ok = Do(Wire, Beam, Host),
                {Node, At}
            end
         || {{_, Do}, Wire, Beam, Node, Host} <- zip5(Events, Wires, Beams, Nodes, Hosts)
        ]
    of
        Started ->
            Wanted = [{Node, What} || Node <- Nodes, What <- wanted(Node, Nodes)],
            gather(maps:from_list(Started), Wanted, #{
                tb_lib:node_of(Default) => default, tb_lib:node_of(Configured) => configured
            })
    after
        [tb_lib:signal(B, "CONT") || B <- Beams],
        lists:foreach(fun tb_lib:end_beam/1, [Observer | Beams]),
        lists:foreach(fun tb_lib:stop/1, [Default, Configured]),
        lists:foreach(fun tb_netns:unwire/1, Wires),
        lists:foreach(fun tb_netns:appear/1, Hosts),
        _ = tb_lib:flush()
    end.

%% The first one is killed: it is never suspect.
wanted(Node, [Node | _]) -> [beam, {default, down}, {configured, down}];
wanted(_, _) -> [beam | [{D, S} || D <- [default, configured], S <- [suspect, down]]].

zip5([A | As], [B | Bs], [C | Cs], [D | Ds], [E | Es]) ->
    [{A, B, C, D, E} | zip5(As, Bs, Cs, Ds, Es)];
zip5([], [], [], [], []) ->
    [].

daemon(Name, Detector) ->
    Config = [{tiebeam, [{discovery, []}, {node_monitor, [{detector, Detector}]}]}],
    tb_lib:daemon(Name, tb_netns:options(1, #{config => Config})).

%% Through a process of its own, so that it is known who says it.
observe(Daemon, Nodes) ->
    N = tb_lib:node_of(Daemon),
    Self = self(),
    Pid = spawn_link(fun() ->
        ok = ?MON:monitor_states(N, true),
        [ok = tb_lib:call(N, {connect, Node}) || Node <- Nodes],
        Self ! {self(), observing},
        pass_on(N, Self)
    end),
    receive
        {Pid, observing} -> ok
    end.

pass_on(N, To) ->
    receive
        {node_state, Node, State, _} ->
            To ! {noticed, N, Node, State, now_ms()},
            pass_on(N, To);
        _ ->
            pass_on(N, To)
    end.

%% On the BEAM node beside the daemons.
-spec watch(pid()) -> no_return().
watch(To) ->
    ok = net_kernel:monitor_nodes(true),
    To ! watching,
    watch_loop(To).

watch_loop(To) ->
    receive
        {nodedown, Node} -> To ! {beam_noticed, Node};
        _ -> ok
    end,
    watch_loop(To).

gather(Started, Wanted, Daemons) ->
    gather(Started, Wanted, Daemons, #{}).

gather(_, [], _, Found) ->
    Found;
gather(Started, Wanted, Daemons, Found) ->
    Key =
        receive
            {beam_noticed, N} -> {N, beam};
            {noticed, Daemon, N, State, _} -> {N, {maps:get(Daemon, Daemons), State}}
        after 120000 -> error({never, Wanted})
        end,
    case lists:member(Key, Wanted) of
        true ->
            Ms = now_ms() - maps:get(element(1, Key), Started),
            gather(Started, Wanted -- [Key], Daemons, Found#{Key => Ms});
        false ->
            gather(Started, Wanted, Daemons, Found)
    end.

now_ms() ->
    erlang:monotonic_time(millisecond).

%% ---------------------------------------------------------------- printing

print(Events, Rounds) ->
    ok = io:setopts([{encoding, unicode}]),
    io:format(
        "# Detection\n\n"
        "How soon the ways in which a node can go silent are noticed, measured by\n"
        "`make detection`: a BEAM node with default ticks (OTP ~s), a tiebeam with\n"
        "its defaults, and a tiebeam with `{down_ms, ~b}`, side by side on one host;\n"
        "each node on another one, behind a link of its own. Medians of ~b rounds, the\n"
        "range in brackets.\n\n"
        "| | BEAM: nodedown | tiebeam: suspect | down, by default | down with `{down_ms, ~b}` |\n"
        "| --- | --- | --- | --- | --- |\n",
        [erlang:system_info(otp_release), ?DOWN_MS, length(Rounds), ?DOWN_MS]
    ),
    [
        begin
            Node = list_to_atom("b@" ++ tb_netns:address(Host)),
            Cells = [
                cell([maps:get({Node, What}, R) || R <- Rounds, maps:is_key({Node, What}, R)])
             || What <- [beam, {default, suspect}, {default, down}, {configured, down}]
            ],
            io:format("| ~ts | ~ts | ~ts | ~ts | ~ts |\n", [Title | Cells])
        end
     || {{Title, _}, Host} <- lists:zip(Events, lists:seq(2, 1 + length(Events)))
    ],
    io:format(
        "\nBy default silence alone disconnects nobody: `net_ticktime` does, of the BEAM as of\n"
        "tiebeam. A node whose process ended closes its sockets, which all see at once.\n"
    ).

cell([]) ->
    "–";
cell(List) ->
    Sorted = lists:sort(List),
    Median = lists:nth((length(Sorted) + 1) div 2, Sorted),
    io_lib:format("~ts (~ts–~ts)", [seconds(Median), seconds(hd(Sorted)), seconds(lists:last(Sorted))]).

seconds(Ms) when Ms < 100 -> io_lib:format("~b ms", [Ms]);
seconds(Ms) when Ms < 10000 -> io_lib:format("~.2f s", [Ms / 1000]);
seconds(Ms) -> io_lib:format("~.1f s", [Ms / 1000]).
