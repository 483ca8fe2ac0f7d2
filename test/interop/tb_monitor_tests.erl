%% tb_monitor_tests - the node monitor: its subscriptions beside those of
%% net_kernel, its monitors of nodes and processes, and who is forgotten.
%%
%% Where the cases of OTP's monitor_SUITE, and of partisan's port of it, are;
%% what is about aliases, ports and time offsets stays inside a node:
%%
%%   case_1, case_1a                    monitor: the end of processes here and there
%%   case_2, case_2a, demon_1, demon_2  demonitor: unknown, twice, another's
%%   mon_e_1, demon_e_1                 monitor, demonitor: bad arguments
%%   demon_3                            demonitor: nothing comes after it
%%   demonitor_flush                    demonitor: flush and info
%%   local_, remote_remove_monitor      demonitor: info agrees with the mailbox
%%   mon_1, mon_2                       monitor: the end of processes; no such
%%                                      process, name, node; a node that is killed
%%   large_exit, named_down, otp_5827   monitor: large reasons; a name is free;
%%                                      an earlier incarnation
%%   list_cleanup                       monitor: nothing is left there; clean/2
%%   mixer                              monitor: every order of five
%%   monitor_tag_storage, gh6185        monitor: tags
-module(tb_monitor_tests).
-include_lib("eunit/include/eunit.hrl").

-export([collect/2]).

-define(TIMEOUT, 120 + 5 * tb_lib:int_env("TB_CYCLES", 15)).
-define(MON, tiebeam_node_monitor).

-spec monitor_test_() -> tuple().
monitor_test_() ->
    {setup, fun setup/0, fun cleanup/1, fun({_, Daemon}) ->
        N = tb_lib:node_of(Daemon),
        [
            {timeout, ?TIMEOUT, {Title, fun() -> clean(N, Case) end}}
         || {Title, Case} <- tb_lib:chosen(cases())
        ]
    end}.

setup() ->
    Epmd = tb_lib:join(monitor),
    %% a machine that is busy makes nobody suspect
    Detector = {detector, [{suspect_ms, 10000}, {probe_ms, 500}]},
    Daemon = tb_lib:daemon(tb, #{
        args => ["-kernel", "net_setuptime", "1"],
        config => [{tiebeam, [{discovery, []}, {node_monitor, [Detector]} | tb_lib:quiet()]}]
    }),
    tb_lib:until_equal(pong, fun() -> net_adm:ping(tb_lib:node_of(Daemon)) end),
    persistent_term:put(?MODULE, Daemon),
    {Epmd, Daemon}.

cleanup({Epmd, Daemon}) ->
    tb_lib:stop(Daemon),
    tb_lib:leave(Epmd).

%% What a case has made is gone after it, on both sides.
clean(N, Case) ->
    _ = tb_lib:flush(),
    Before = tables(N),
    Case(N),
    tb_lib:until_equal(Before, fun() -> tables(N) end),
    ?assertEqual([], tb_lib:flush()).

tables(N) ->
    Tables = maps:with([monitors, links, calls, processes], tb_lib:tables(N)),
    Tables#{subscribers => maps:get(subscribers, ?MON:info(N))}.

cases() ->
    [
        {"monitor_nodes: one scenario, both mailboxes", fun same_mailboxes/1},
        {"monitor_nodes: options and errors", fun same_errors/1},
        {"monitor_nodes: from a new subscription on", fun no_past/1},
        {"monitor_nodes: subscribers that end are forgotten", fun dead_subscribers/1},
        {"monitor_nodes: 10,000 subscribers", fun many_subscribers/1},
        {"limits", fun limits/1},
        {"monitor_states", fun states/1},
        {"nodes, info, transitions", fun info/1},
        {"monitor_node: one message, however often asked", fun node_once/1},
        {"monitor_node: not connected", fun node_absent/1},
        {"monitor_node: taken back", fun node_false/1},
        {"monitor_node: bad arguments", fun node_badarg/1},
        {"monitor: the end of processes here and there", fun process_ends/1},
        {"monitor: no such process, name, node", fun process_missing/1},
        {"monitor: a process of an earlier incarnation", fun old_incarnation/1},
        {"monitor: a node that is killed", fun process_node_killed/1},
        {"monitor: a name is free when its end is told", fun named_down/1},
        {"monitor: large reasons", fun large_reason/1},
        {"monitor: nothing is left there", fun nothing_left/1},
        {"monitor: tags", fun tags/1},
        {"monitor: every order of five", fun mixer/1},
        {"monitor: bad arguments", fun monitor_badarg/1},
        {"demonitor: nothing comes after it", fun demonitor_no_message/1},
        {"demonitor: unknown, twice, another's", fun demonitor_unknown/1},
        {"demonitor: flush and info", fun demonitor_flush/1},
        {"demonitor: info agrees with the mailbox, in races", fun demonitor_races/1},
        {"demonitor: bad arguments", fun demonitor_badarg/1},
        {"demonitor and monitor without a tiebeam", fun no_tiebeam/1},
        {"confirm_down: up, down, and nobody knows", fun confirm/1},
        {"DOWN comes before nodedown", fun down_before_nodedown/1},
        {"a node that is killed and comes back, again and again", fun cycles/1},
        {"node_monitor ends and is back", fun restarted/1}
    ].

%% ------------------------------------------------------------------ helper

beam_node(Name) ->
    list_to_atom(atom_to_list(Name) ++ "@" ++ tb_lib:host()).

with_beam(N, Name, Fun) ->
    with_beam(N, Name, #{}, Fun).

%% The daemon is connected to it.
with_beam(N, Name, Options, Fun) ->
    Beam = tb_lib:beam(Name, Options),
    B = tb_lib:node_of(Beam),
    try
        connect(N, B),
        Fun(Beam, B)
    after
        tb_lib:end_beam(Beam),
        gone(N, B)
    end.

%% A handshake has a second, which a machine under load may exceed.
connect(N, B) ->
    tb_lib:until_equal(ok, fun() -> tb_lib:call(N, {connect, B}) end).

gone(N, B) ->
    tb_lib:until(fun() -> not lists:member(B, ?MON:nodes(N)) end).

one_message() ->
    receive
        Message -> Message
    after 60000 -> error(no_message)
    end.

%% A process of that node that ends with the first message that it gets.
ending(B) ->
    spawn(B, erlang, apply, [fun() -> receive {stop, R} -> exit(R) end end, []]).

stop_with(Pid, Reason) ->
    Pid ! {stop, Reason}.

%% What the daemon has asked of that node has arrived there.
settle(N, B) ->
    Ref = ?MON:monitor(N, {no_such_name, B}),
    receive
        {'DOWN', Ref, process, _, noproc} -> ok
    end.

%% ------------------------------------------------------------ side by side

option_sets() ->
    [
        [],
        [nodedown_reason],
        [connection_id],
        [{node_type, visible}],
        [{node_type, hidden}],
        [{node_type, all}],
        [{node_type, all}, nodedown_reason, connection_id],
        [connection_id, {node_type, hidden}, nodedown_reason],
        #{},
        #{nodedown_reason => true},
        #{nodedown_reason => false},
        #{connection_id => true, node_type => all},
        #{node_type => hidden},
        #{node_type => all, nodedown_reason => true, connection_id => true}
    ].

%% What each process subscribes to: every set alone; some sets several times;
%% several sets in one process; some taken back.
plans() ->
    Sets = option_sets(),
    [[{true, S}] || S <- Sets] ++
        [[{true, S}, {true, S}, {true, S}] || S <- lists:sublist(Sets, 4)] ++
        [
            [{true, S} || S <- Sets],
            [{true, []}, {true, []}, {false, []}],
            [{true, []}, {true, [nodedown_reason]}, {false, []}],
            [{true, [nodedown_reason, connection_id]}, {true, [connection_id, nodedown_reason]}],
            [{true, [connection_id, connection_id]}, {true, #{connection_id => true}}],
            [{true, #{}}, {true, #{nodedown_reason => false}}, {false, #{}}],
            [{false, []}]
        ].

%% Both sides are told the same of two nodes, one visible and one hidden, that
%% are killed, disconnected, stopped, and come back.
same_mailboxes(N) ->
    Nodes = [beam_node(mon_visible), beam_node(mon_hidden)],
    Ours = [start_collector(fun(F, O) -> ?MON:monitor_nodes(N, F, O) end, P) || P <- plans()],
    Otps = [start_collector(fun net_kernel:monitor_nodes/2, P) || P <- plans()],
    scenario(N),
    _ = [
        begin
            Otp = numbered(collected(OtpPid, Nodes)),
            tb_lib:until_equal(Otp, fun() -> numbered(collected(OurPid, Nodes)) end)
        end
     || {OurPid, OtpPid} <- lists:zip(Ours, Otps)
    ],
    %% three times each of them came up and went down, the visible one twice
    All = collected(lists:nth(7, Otps), Nodes),
    [?assertEqual(Times, length([E || E <- All, element(2, E) =:= B])) || {B, Times} <- lists:zip(Nodes, [12, 6])],
    [exit(P, kill) || P <- Ours ++ Otps].

start_collector(Subscribe, Plan) ->
    Self = self(),
    Pid = spawn_link(fun() ->
        unlink(Self),
        Results = [Subscribe(Flag, Options) || {Flag, Options} <- Plan],
        Self ! {self(), Results},
        collect([], self())
    end),
    receive
        {Pid, Results} -> ?assertEqual([ok || _ <- Plan], Results)
    end,
    Pid.

-spec collect([tuple()], pid()) -> no_return().
collect(Seen, Self) ->
    receive
        {collected, From} ->
            From ! {Self, lists:reverse(Seen)},
            collect(Seen, Self);
        Event ->
            collect([Event | Seen], Self)
    end.

collected(Pid, Nodes) ->
    Pid ! {collected, self()},
    receive
        {Pid, Events} -> [E || E <- Events, lists:member(element(2, E), Nodes)]
    end.

%% The events of one shape in order, whichever node they are of; shapes are not
%% ordered among each other. Each side numbers connections by a count of its
%% own, which in OTP rises for each node alone.
numbered(Events) ->
    Ids = lists:usort([{element(2, E), I} || E <- Events, I <- connection_ids(E)]),
    [numbered(E, [I || {Node, I} <- Ids, Node =:= element(2, E)]) || E <- stable_by_shape(Events)].

stable_by_shape(Events) ->
    [E || {_, E} <- lists:keysort(1, [{shape(E), E} || E <- Events])].

shape({_, _}) -> plain;
shape({_, _, Map}) when is_map(Map) -> {map, lists:sort(maps:keys(Map)) -- [nodedown_reason]};
shape({_, _, List}) -> {list, [K || {K, _} <- List, K =/= nodedown_reason]}.

connection_ids({_, _, #{connection_id := I}}) -> [I];
connection_ids({_, _, List}) when is_list(List) -> [I || {connection_id, I} <- List];
connection_ids(_) -> [].

numbered({Event, Node, #{connection_id := I} = Map}, Ids) ->
    {Event, Node, Map#{connection_id := place(I, Ids)}};
numbered({Event, Node, [{connection_id, I} | List]}, Ids) ->
    {Event, Node, [{connection_id, place(I, Ids)} | List]};
numbered(Event, _) ->
    Event.

place(I, Ids) ->
    length(lists:takewhile(fun(J) -> J < I end, Ids)).

%% This VM and the daemon have the same done to them.
scenario(N) ->
    Visible = fun() -> tb_lib:beam(mon_visible) end,
    Hidden = fun() -> tb_lib:beam(mon_hidden, #{args => ["-hidden"]}) end,
    [
        begin
            Killed = Start(),
            B = tb_lib:node_of(Killed),
            both_connect(N, B),
            tb_lib:end_beam(Killed),
            both_lost(N, B),
            Beam = Start(),
            both_connect(N, B),
            true = erlang:disconnect_node(B),
            true = tb_lib:call(N, {disconnect, B}),
            both_lost(N, B),
            both_connect(N, B),
            ok = rpc:call(B, init, stop, []),
            both_lost(N, B),
            tb_lib:end_beam(Beam)
        end
     || Start <- [Visible, Hidden, Visible]
    ].

both_connect(N, B) ->
    true = net_kernel:connect_node(B),
    %% global's greetings would connect the two again
    _ = global:sync(),
    _ = rpc:call(B, global, sync, []),
    connect(N, B).

both_lost(N, B) ->
    tb_lib:until(fun() -> not lists:member(B, nodes(connected)) end),
    gone(N, B).

%% Every list of at most three of these, and maps of them.
same_errors(N) ->
    Words = [
        nodedown_reason,
        connection_id,
        {node_type, visible},
        {node_type, all},
        {node_type, x},
        {nodedown_reason, true},
        foo,
        {foo, 1},
        []
    ],
    Lists = [[A] || A <- Words] ++ [[A, B] || A <- Words, B <- Words] ++
        [[A, B, C] || A <- Words, B <- Words, C <- Words],
    Pairs = [
        {connection_id, true},
        {connection_id, 1},
        {node_type, hidden},
        {node_type, x},
        {nodedown_reason, false},
        {nodedown_reason, "x"},
        {foo, bar},
        {1, 2}
    ],
    Maps = [maps:from_list([A, B, C]) || A <- Pairs, B <- Pairs, C <- Pairs],
    Many = maps:from_list([{{key, I}, I} || I <- lists:seq(1, 50)]),
    Other = [[], x, 1, "ab", {a}, <<"x">>, self(), Many, Many#{connection_id => true}, lists:seq(256, 5000)],
    Requests = [{F, O} || O <- Lists ++ Maps ++ Other, F <- [true, false]] ++
        [{F, O} || F <- [x, 1, "true"], O <- [[], [foo], #{}, y]],
    Self = self(),
    Ask = fun(Subscribe) ->
        spawn_link(fun() -> Self ! {self(), [Subscribe(F, O) || {F, O} <- Requests]} end)
    end,
    Ours = Ask(fun(F, O) -> ?MON:monitor_nodes(N, F, O) end),
    Otps = Ask(fun net_kernel:monitor_nodes/2),
    [Our, Otp] = [receive {P, R} -> R end || P <- [Ours, Otps]],
    Both = [{R, error_of(A), error_of(B)} || {R, A, B} <- lists:zip3(Requests, Our, Otp)],
    ?assertEqual([], [D || {_, A, B} = D <- Both, A =/= B]),
    %% where OTP itself fails
    ?assertEqual({error, {invalid_options, [foo | x]}}, ?MON:monitor_nodes(N, true, [foo | x])).

%% OTP gives the unknown ones in an order of its own, and connection_id with
%% them.
error_of({error, {unknown_options, List}}) when is_list(List) ->
    {error, {unknown_options, lists:sort([X || X <- List, X =/= connection_id])}};
error_of(Result) ->
    Result.

no_past(N) ->
    with_beam(N, mon_a, fun(_, B) ->
        ok = ?MON:monitor_nodes(N, true, #{node_type => all}),
        ?assertEqual([], tb_lib:flush()),
        true = tb_lib:call(N, {disconnect, B}),
        ?assertEqual({nodedown, B, #{node_type => visible}}, one_message()),
        ok = ?MON:monitor_nodes(N, false, #{node_type => all}),
        connect(N, B),
        _ = ?MON:info(N),
        ?assertEqual([], tb_lib:flush())
    end).

%% Nobody can make it grow without end.
limits(N) ->
    [?assertEqual(ok, ?MON:monitor_nodes(N, true)) || _ <- lists:seq(1, 1000)],
    ?assertEqual({error, system_limit}, ?MON:monitor_nodes(N, true)),
    ?assertEqual(ok, ?MON:monitor_nodes(N, false)),
    Tag = {tag, <<0:(20 * 8000000)>>},
    Refs = [?MON:monitor(N, self(), [Tag]) || _ <- [1, 2]],
    Third = [catch ?MON:monitor(N, self(), [Tag]) || _ <- [1, 2]],
    ?assertMatch({'EXIT', {system_limit, _}}, lists:last(Third)),
    [true = ?MON:demonitor(N, R, [info]) || R <- Refs ++ Third, is_reference(R)],
    Again = ?MON:monitor(N, self(), [Tag]),
    ?assertEqual(true, ?MON:demonitor(N, Again, [info])).

dead_subscribers(N) ->
    Pids = [
        spawn(fun() ->
            [ok = ?MON:monitor_nodes(N, true, O) || O <- option_sets(), _ <- [1, 2]],
            ok = ?MON:monitor_states(N, true),
            true = ?MON:monitor_node(N, node(), true),
            _ = ?MON:monitor(N, {tiebeam, N}),
            receive
                stop -> ok
            end
        end)
     || _ <- lists:seq(1, 50)
    ],
    tb_lib:until(fun() -> maps:get(subscribers, ?MON:info(N)) =:= 50 end),
    %% 50 monitors on them, and theirs on tiebeam
    {Some, Others} = lists:split(25, Pids),
    [exit(P, kill) || P <- Some],
    tb_lib:until(fun() -> maps:get(subscribers, ?MON:info(N)) =:= 25 end),
    [P ! stop || P <- Others].

many_subscribers(N) ->
    Count = 10000,
    Self = self(),
    Pids = [
        spawn_link(fun() ->
            ok = gen_server:call({node_monitor, N}, {monitor_nodes, true, []}, infinity),
            Self ! {subscribed, self()},
            Events = [receive E -> {E, erlang:monotonic_time(millisecond)} end || _ <- [up, down]],
            Self ! {events, Events}
        end)
     || _ <- lists:seq(1, Count)
    ],
    [receive {subscribed, P} -> ok after 60000 -> error(too_late) end || P <- Pids],
    ?assertEqual(Count, maps:get(subscribers, ?MON:info(N))),
    B = with_beam(N, mon_many, fun(_, Node) -> Node end),
    All = [receive {events, E} -> E after 60000 -> error(too_late) end || _ <- Pids],
    ?assertEqual([[{nodeup, B}, {nodedown, B}]], lists:usort([[E || {E, _} <- L] || L <- All])),
    Ups = [T || [{_, T}, _] <- All],
    io:format(user, "  one nodeup to ~b subscribers: ~b ms from the first to the last~n", [
        Count, lists:max(Ups) - lists:min(Ups)
    ]).

%% ------------------------------------------------------------ states, info

states(N) ->
    ok = ?MON:monitor_states(N, true),
    ok = ?MON:monitor_states(N, true),
    B = with_beam(N, mon_a, fun(_, Node) ->
        {node_state, Node, up, Up} = one_message(),
        ?assertMatch(#{from := down, reason := connected, time_ms := T} when T > 1.0e12, Up),
        true = tb_lib:call(N, {disconnect, Node}),
        {node_state, Node, down, Down} = one_message(),
        ?assertMatch(#{from := up, reason := disconnect}, Down),
        Same = [connection_id, creation],
        ?assertEqual(maps:with(Same, Up), maps:with(Same, Down)),
        connect(N, Node),
        {node_state, Node, up, Again} = one_message(),
        ?assert(maps:get(connection_id, Again) > maps:get(connection_id, Up)),
        ?assertEqual(maps:get(creation, Up), maps:get(creation, Again)),
        Node
    end),
    ?assertMatch({node_state, B, down, #{reason := connection_closed}}, one_message()),
    ok = ?MON:monitor_states(N, false),
    ?assertError(badarg, ?MON:monitor_states(N, x)).

info(N) ->
    ?assertEqual([node()], ?MON:nodes(N)),
    B = with_beam(N, mon_a, fun(_, Node) ->
        ?assertEqual(lists:sort([node(), Node]), lists:sort(?MON:nodes(N, managed))),
        H = with_beam(N, mon_h, #{args => ["-hidden"]}, fun(_, Hidden) ->
            ?assertEqual([Hidden], ?MON:nodes(N, hidden)),
            ?assertEqual(lists:sort([node(), Node]), lists:sort(?MON:nodes(N, visible))),
            ?assertEqual(lists:sort([node(), Node, Hidden]), lists:sort(?MON:nodes(N, all))),
            ?assertNot(lists:member(Hidden, ?MON:nodes(N, managed))),
            Hidden
        end),
        #{nodes := #{Node := Info} = Nodes} = ?MON:info(N),
        ?assertMatch(#{state := up, type := visible, managed := true, connection_id := _}, Info),
        ?assertNot(maps:is_key(H, Nodes)),
        Node
    end),
    #{transitions := Transitions} = ?MON:info(N),
    ?assertMatch(
        [#{from := down, to := up}, #{from := up, to := down, reason := connection_closed}],
        [maps:without([node], T) || #{node := X} = T <- lists:nthtail(length(Transitions) - 2, Transitions), X =:= B]
    ),
    %% the last 100 are kept
    with_beam(N, mon_b, fun(_, Node) ->
        [
            begin
                true = tb_lib:call(N, {disconnect, Node}),
                gone(N, Node),
                connect(N, Node)
            end
         || _ <- lists:seq(1, 60)
        ],
        #{transitions := Last} = ?MON:info(N),
        ?assertEqual(100, length(Last)),
        ?assertEqual([Node], lists:usort([X || #{node := X} <- Last])),
        Times = [T || #{time_ms := T} <- Last],
        ?assertEqual(Times, lists:sort(Times)),
        ?assertEqual([], [bad || {#{to := A}, #{from := C}} <- pairs(Last), A =/= C])
    end).

pairs(List) ->
    lists:zip(lists:droplast(List), tl(List)).

%% ------------------------------------------------------------ monitor_node

node_once(N) ->
    B = with_beam(N, mon_a, fun(_, Node) ->
        [true = ?MON:monitor_node(N, Node, true) || _ <- [1, 2, 3]],
        ?assertEqual([], tb_lib:flush()),
        Node
    end),
    ?assertEqual({nodedown, B}, one_message()),
    _ = ?MON:info(N),
    ?assertEqual([], tb_lib:flush()),
    %% that was all: a later loss is not told
    with_beam(N, mon_a, fun(_, B2) -> ?assertEqual(B, B2) end),
    _ = ?MON:info(N),
    ?assertEqual([], tb_lib:flush()).

node_absent(N) ->
    true = ?MON:monitor_node(N, 'nobody@nowhere', true),
    ?assertEqual({nodedown, 'nobody@nowhere'}, one_message()),
    true = ?MON:monitor_node(N, noname, true),
    ?assertEqual({nodedown, noname}, one_message()),
    %% its own node is never lost
    true = ?MON:monitor_node(N, N, true),
    ?assertEqual([], tb_lib:flush()),
    %% nobody was dialled
    ?assertEqual([node()], ?MON:nodes(N)).

node_false(N) ->
    with_beam(N, mon_a, fun(_, B) ->
        true = ?MON:monitor_node(N, B, true),
        true = ?MON:monitor_node(N, B, true),
        true = ?MON:monitor_node(N, B, false),
        true = ?MON:monitor_node(N, B, false),
        true = ?MON:monitor_node(N, 'nobody@nowhere', false)
    end),
    _ = ?MON:info(N),
    ?assertEqual([], tb_lib:flush()).

node_badarg(N) ->
    ?assertError(badarg, ?MON:monitor_node(N, 1, true)),
    ?assertError(badarg, ?MON:monitor_node(N, node(), x)),
    ?assertError(badarg, ?MON:monitor_node(N, "a@b", true)).

%% ----------------------------------------------------------------- monitor

process_ends(N) ->
    with_beam(N, mon_a, fun(_, B) ->
        [
            begin
                Pid = ending(Where),
                Ref = ?MON:monitor(N, Pid),
                settle(N, Where),
                stop_with(Pid, Reason),
                ?assertEqual({'DOWN', Ref, process, Pid, Reason}, one_message()),
                true = rpc:call(Where, erlang, register, [mon_name, Named = ending(Where)]),
                ByName = ?MON:monitor(N, {mon_name, Where}),
                settle(N, Where),
                stop_with(Named, Reason),
                ?assertEqual({'DOWN', ByName, process, {mon_name, Where}, Reason}, one_message())
            end
         || Where <- [node(), B], Reason <- [normal, frop, {shutdown, [1]}, noproc]
        ],
        %% a process of the tiebeam node itself
        Ours = ?MON:monitor(N, {rex, N}),
        ok = gen_server:stop({rex, N}),
        ?assertEqual({'DOWN', Ours, process, {rex, N}, normal}, one_message())
    end).

process_missing(N) ->
    Dead = ending(node()),
    exit(Dead, kill),
    tb_lib:until(fun() -> not is_process_alive(Dead) end),
    Never = tb_raw:pid('nobody@nowhere', 17, 1),
    [
        begin
            Ref = ?MON:monitor(N, Target),
            ?assertEqual({'DOWN', Ref, process, Target, Reason}, one_message())
        end
     || {Target, Reason} <- [
            {Dead, noproc},
            {{no_such_name, node()}, noproc},
            {{no_such_name, N}, noproc},
            {{name, 'nobody@nowhere'}, noconnection},
            {Never, noconnection}
        ]
    ].

old_incarnation(N) ->
    Old = with_beam(N, mon_a, fun(_, B) -> ending(B) end),
    with_beam(N, mon_a, fun(_, B) ->
        ?assertEqual(B, node(Old)),
        Ref = ?MON:monitor(N, Old),
        ?assertEqual({'DOWN', Ref, process, Old, noproc}, one_message())
    end).

process_node_killed(N) ->
    {Refs, Old} = with_beam(N, mon_a, fun(_, B) ->
        Pids = [ending(B) || _ <- lists:seq(1, 20)],
        Named = {init, B},
        {[{?MON:monitor(N, T), T} || T <- [Named | Pids]], hd(Pids)}
    end),
    Downs = [one_message() || _ <- Refs],
    ?assertEqual(
        lists:sort([{'DOWN', R, process, T, noconnection} || {R, T} <- Refs]), lists:sort(Downs)
    ),
    %% and once it is gone
    Ref = ?MON:monitor(N, Old),
    ?assertEqual({'DOWN', Ref, process, Old, noconnection}, one_message()).

named_down(N) ->
    with_beam(N, mon_a, fun(_, B) ->
        [
            begin
                Pid = ending(B),
                true = rpc:call(B, erlang, register, [mon_name, Pid]),
                Ref = ?MON:monitor(N, {mon_name, B}),
                settle(N, B),
                stop_with(Pid, normal),
                {'DOWN', Ref, process, {mon_name, B}, normal} = one_message(),
                ?assertEqual(undefined, rpc:call(B, erlang, whereis, [mon_name]))
            end
         || _ <- lists:seq(1, 50)
        ]
    end).

large_reason(N) ->
    Reason = [lists:duplicate(1000, X) || X <- lists:seq(1, 100)],
    [
        begin
            Pid = ending(node()),
            Ref = ?MON:monitor(N, Pid),
            settle(N, node()),
            stop_with(Pid, Reason),
            ?assertEqual({'DOWN', Ref, process, Pid, Reason}, one_message())
        end
     || _ <- lists:seq(1, 100)
    ].

%% At the process that is monitored, whoever ends the monitor.
nothing_left(N) ->
    with_beam(N, mon_a, fun(_, B) ->
        Pid = ending(B),
        Count = fun() ->
            {monitored_by, By} = rpc:call(B, erlang, process_info, [Pid, monitored_by]),
            length([P || P <- By, is_pid(P), node(P) =:= N])
        end,
        Ref = ?MON:monitor(N, Pid),
        tb_lib:until_equal(1, Count),
        true = ?MON:demonitor(N, Ref, [info]),
        tb_lib:until_equal(0, Count),
        Other = spawn(fun() ->
            [?MON:monitor(N, Pid) || _ <- [1, 2, 3]],
            receive stop -> ok end
        end),
        tb_lib:until_equal(3, Count),
        exit(Other, kill),
        tb_lib:until_equal(0, Count),
        Lost = ?MON:monitor(N, Pid),
        tb_lib:until_equal(1, Count),
        true = tb_lib:call(N, {disconnect, B}),
        ?assertEqual({'DOWN', Lost, process, Pid, noconnection}, one_message()),
        tb_lib:until_equal(0, Count)
    end).

tags(N) ->
    Dead = ending(node()),
    exit(Dead, kill),
    tb_lib:until(fun() -> not is_process_alive(Dead) end),
    Gone = [{no_such_name, node()}, {no_such_name, N}, {name, 'nobody@nowhere'}, Dead],
    Tags = [tag, {a, 1}, #{}, [], make_ref(), lists:seq(1, 5000), <<0:80000>>],
    [
        begin
            Pid = ending(node()),
            Ref = ?MON:monitor(N, Pid, [{tag, other}, {tag, Tag}]),
            settle(N, node()),
            stop_with(Pid, x),
            ?assertEqual({Tag, Ref, process, Pid, x}, one_message()),
            [
                begin
                    Missing = ?MON:monitor(N, G, [{tag, Tag}]),
                    ?assertMatch({Tag, Missing, process, G, _}, one_message())
                end
             || G <- Gone
            ],
            Flushed = ?MON:monitor(N, {no_such_name, node()}, [{tag, Tag}]),
            true = ?MON:demonitor(N, Flushed, [flush]),
            ?assertEqual([], tb_lib:flush())
        end
     || Tag <- Tags
    ].

%% Two processes here and three there, ended in each order.
mixer(N) ->
    with_beam(N, mon_a, fun(_, B) ->
        [
            begin
                Pids = [ending(W) || W <- [node(), node(), B, B, B]],
                Refs = [{P, ?MON:monitor(N, P)} || P <- Pids],
                [settle(N, W) || W <- [node(), B]],
                [
                    begin
                        Pid = lists:nth(I, Pids),
                        {Pid, Ref} = lists:keyfind(Pid, 1, Refs),
                        stop_with(Pid, I),
                        ?assertEqual({'DOWN', Ref, process, Pid, I}, one_message())
                    end
                 || I <- Order
                ]
            end
         || Order <- permutations([1, 2, 3, 4, 5])
        ]
    end).

permutations([]) -> [[]];
permutations(L) -> [[X | P] || X <- L, P <- permutations(L -- [X])].

monitor_badarg(N) ->
    Bad = [
        {x, []},
        {{a, 1}, []},
        {{1, node()}, []},
        {{a, noname}, []},
        {{a, b, c}, []},
        {[], []},
        {make_ref(), []},
        {self(), x},
        {self(), [x]},
        {self(), [{tag, x} | y]},
        {self(), [{alias, explicit_unalias}]}
    ],
    [?assertError(badarg, ?MON:monitor(N, Target, Options)) || {Target, Options} <- Bad],
    ?assertEqual(
        {error, unknown_call}, gen_server:call({node_monitor, N}, {monitor, self()})
    ).

%% --------------------------------------------------------------- demonitor

demonitor_no_message(N) ->
    with_beam(N, mon_a, fun(_, B) ->
        [
            begin
                Pid = ending(W),
                Ref = ?MON:monitor(N, Pid),
                ?assertEqual(true, ?MON:demonitor(N, Ref)),
                stop_with(Pid, x),
                %% its end has reached the daemon
                {'DOWN', _, process, Pid, _} =
                    begin
                        _ = ?MON:monitor(N, Pid),
                        one_message()
                    end,
                ?assertEqual([], tb_lib:flush()),
                ?assertEqual(true, ?MON:demonitor(N, Ref))
            end
         || W <- [node(), B], _ <- lists:seq(1, 10)
        ]
    end),
    %% a node that is stopped after the demonitor, and before it
    After = with_beam(N, mon_a, fun(_, B) ->
        Ref = ?MON:monitor(N, ending(B)),
        true = ?MON:demonitor(N, Ref),
        Pid = ending(B),
        {?MON:monitor(N, Pid), Pid}
    end),
    {Lost, LostPid} = After,
    ?assertEqual({'DOWN', Lost, process, LostPid, noconnection}, one_message()),
    ?assertEqual(true, ?MON:demonitor(N, Lost)),
    ?assertEqual(false, ?MON:demonitor(N, Lost, [info])).

demonitor_unknown(N) ->
    Ref = ?MON:monitor(N, ending(node())),
    Self = self(),
    %% another process can take nothing back, and it is no error
    spawn_link(fun() -> Self ! {other, ?MON:demonitor(N, Ref), ?MON:demonitor(N, Ref, [info])} end),
    ?assertEqual({other, true, false}, one_message()),
    ?assertEqual(true, ?MON:demonitor(N, Ref, [info])),
    ?assertEqual(false, ?MON:demonitor(N, Ref, [info])),
    ?assertEqual(true, ?MON:demonitor(N, Ref)),
    ?assertEqual([], tb_lib:flush()).

demonitor_flush(N) ->
    Gone = fun(Options) ->
        Ref = ?MON:monitor(N, {no_such_name, node()}),
        {?MON:demonitor(N, Ref, Options), [M || M <- tb_lib:flush()], Ref}
    end,
    ?assertMatch({true, [{'DOWN', R, process, _, noproc}], R}, Gone([])),
    ?assertMatch({true, [], _}, Gone([flush])),
    ?assertMatch({false, [], _}, Gone([flush, info])),
    ?assertMatch({false, [{'DOWN', R, process, _, noproc}], R}, Gone([info])),
    Alive = fun(Options) -> ?MON:demonitor(N, ?MON:monitor(N, ending(node())), Options) end,
    ?assertEqual([true, true, true, true], [Alive(O) || O <- [[], [flush], [info], [info, flush]]]),
    ?assertEqual([], tb_lib:flush()).

%% Whether info says true or false decides whether a DOWN is in the mailbox.
demonitor_races(N) ->
    with_beam(N, mon_a, fun(_, B) ->
        Results = [
            begin
                Pids = [ending(W) || _ <- lists:seq(1, 20)],
                Refs = [?MON:monitor(N, P) || P <- Pids],
                Stopper = spawn_link(fun() -> [stop_with(P, x) || P <- Pids] end),
                Found = [{R, ?MON:demonitor(N, R, [info])} || R <- lists:reverse(Refs)],
                tb_lib:until(fun() -> not is_process_alive(Stopper) end),
                Downs = [R || {'DOWN', R, process, _, _} <- tb_lib:flush()],
                ?assertEqual(
                    lists:sort([R || {R, false} <- Found]), lists:sort(Downs)
                ),
                length(Downs)
            end
         || W <- [node(), B], _ <- lists:seq(1, 25)
        ],
        %% both ends of the race were seen
        ?assert(lists:sum(Results) > 0),
        ?assert(lists:sum(Results) < 1000)
    end).

demonitor_badarg(N) ->
    Ref = ?MON:monitor(N, ending(node())),
    [?assertError(badarg, ?MON:demonitor(N, Bad)) || Bad <- [x, 1, self(), make_ref()]],
    [?assertError(badarg, ?MON:demonitor(N, Ref, Bad)) || Bad <- [[x], x, [flush | info]]],
    ?assertEqual(true, ?MON:demonitor(N, Ref, [info])).

no_tiebeam(_) ->
    Nobody = list_to_atom("nobody@" ++ tb_lib:host()),
    Ref = ?MON:monitor(Nobody, {x, node()}, [{tag, t}]),
    ?assertEqual({t, Ref, process, {x, node()}, noconnection}, one_message()),
    %% a node that has no such process
    NoProc = ?MON:monitor(node(), self()),
    ?assertEqual({'DOWN', NoProc, process, self(), noproc}, one_message()),
    ?assertEqual(true, ?MON:demonitor(Nobody, Ref)),
    ?assertEqual(false, ?MON:demonitor(Nobody, Ref, [flush, info])).

%% ------------------------------------------------------------ confirm_down

confirm(N) ->
    B = with_beam(N, mon_a, fun(Beam, Node) ->
        #{nodes := #{Node := #{creation := Creation}}} = ?MON:info(N),
        ?assertEqual({up, [N]}, ?MON:confirm_down(N, Node)),
        pong = net_adm:ping(Node),
        ?assertEqual({up, lists:sort([node(), N])}, confirmed(N, Node, Creation)),
        %% only this VM is connected to it, and it does not answer us
        true = tb_lib:call(N, {disconnect, Node}),
        gone(N, Node),
        tb_lib:signal(Beam, "STOP"),
        ?assertEqual({up, [node()]}, confirmed(N, Node, Creation)),
        true = erlang:disconnect_node(Node),
        ?assertMatch({unknown, _}, confirmed(N, Node, Creation)),
        tb_lib:signal(Beam, "CONT"),
        %% it may have come to us by itself, meanwhile
        tb_lib:until(fun() ->
            case confirmed(N, Node, Creation) of
                {up, By} -> By -- [node()] =:= [N];
                {unknown, _} -> false
            end
        end),
        %% another incarnation is not the one that is asked for
        ?assertEqual({down, restarted}, ?MON:confirm_down(N, Node, Creation + 1)),
        Node
    end),
    {down, Why} = ?MON:confirm_down(N, B),
    ?assert(lists:member(Why, [econnrefused, not_in_epmd])),
    ?assertMatch({unknown, nxdomain}, ?MON:confirm_down(N, 'a@no.such.host.invalid')),
    [?assertError(badarg, ?MON:confirm_down(N, Bad)) || Bad <- [N, noname]],
    ?assertError(badarg, ?MON:confirm_down(N, B, -1)).

confirmed(N, Node, Creation) ->
    case ?MON:confirm_down(N, Node, Creation) of
        {up, By} -> {up, lists:sort(By)};
        Other -> Other
    end.

%% ------------------------------------------------------------------- order

down_before_nodedown(N) ->
    [
        begin
            Ref = with_beam(N, mon_a, fun(_, B) ->
                true = ?MON:monitor_node(N, B, true),
                ok = ?MON:monitor_nodes(N, true, [nodedown_reason]),
                [?MON:monitor(N, ending(B)) || _ <- [1, 2, 3]]
            end),
            Seen = [one_message() || _ <- lists:seq(1, 5)],
            ?assertEqual(Ref, [R || {'DOWN', R, process, _, noconnection} <- lists:sublist(Seen, 3)]),
            ?assertMatch(
                [{nodedown, B}, {nodedown, B, [{nodedown_reason, connection_closed}]}],
                lists:sort(lists:nthtail(3, Seen))
            ),
            ok = ?MON:monitor_nodes(N, false, [nodedown_reason])
        end
     || _ <- lists:seq(1, 3)
    ].

%% To every subscriber up and down alternate; all of a connection comes before
%% the next one's nodeup.
cycles(N) ->
    Rounds = tb_lib:int_env("TB_CYCLES", 15),
    Options = #{connection_id => true, node_type => all, nodedown_reason => true},
    Us = list_to_atom(tb_lib:name(mon_cycle)),
    B = beam_node(Us),
    ok = ?MON:monitor_nodes(N, true, Options),
    ok = ?MON:monitor_states(N, true),
    Others = [start_collector(fun(F, O) -> ?MON:monitor_nodes(N, F, O) end, [{true, Options}]) || _ <- lists:seq(1, 50)],
    Memory = [cycle(N, Us, B, I) || I <- lists:seq(1, Rounds)],
    gone(N, B),
    ok = ?MON:monitor_nodes(N, false, Options),
    ok = ?MON:monitor_states(N, false),
    alternating(Rounds, tb_lib:flush()),
    [alternating(Rounds, collected(P, [B])) || P <- Others],
    [exit(P, kill) || P <- Others],
    flat(Memory).

%% Monitors of processes there, and of the node itself, are told in between.
%% Every other time the next incarnation may come before this one is gone.
cycle(N, Name, B, I) ->
    Beam = tb_lib:beam(Name),
    B = tb_lib:node_of(Beam),
    connect(N, B),
    true = ?MON:monitor_node(N, B, true),
    [_ = ?MON:monitor(N, ending(B), [{tag, {down, I}}]) || _ <- [1, 2, 3]],
    tb_lib:end_beam(Beam),
    I rem 2 =:= 0 andalso gone(N, B),
    resident_kib().

alternating(Rounds, Events) ->
    Nodes = [{E, Id} || {E, _, #{connection_id := Id}} <- Events],
    ?assertEqual(2 * Rounds, length(Nodes)),
    ?assertEqual(lists:append(lists:duplicate(Rounds, [nodeup, nodedown])), [E || {E, _} <- Nodes]),
    Ids = [Id || {nodeup, Id} <- Nodes],
    ?assertEqual(Ids, [Id || {nodedown, Id} <- Nodes]),
    ?assertEqual(Ids, lists:usort(Ids)),
    Downs = [I || {{down, I}, _, process, _, noconnection} <- Events],
    ?assert(lists:member(Downs, [[], lists:append([[I, I, I] || I <- lists:seq(1, Rounds)])])),
    States = [S || {node_state, _, S, _} <- Events],
    ?assert(lists:member(States, [[], lists:append(lists:duplicate(Rounds, [up, down]))])),
    in_order(1, Events).

%% The DOWNs of round I stand between the nodeup of I and that of I + 1.
in_order(_, []) ->
    ok;
in_order(I, [{nodeup, _, _} | Rest]) ->
    {These, Next} = lists:splitwith(fun(E) -> element(1, E) =/= nodeup end, Rest),
    ?assertEqual([], [D || {{down, J}, _, process, _, _} = D <- These, J =/= I]),
    in_order(I + 1, Next);
in_order(I, [{node_state, _, up, _} | Rest]) ->
    in_order(I, Rest).

resident_kib() ->
    File = "/proc/" ++ integer_to_list(tb_lib:os_pid(persistent_term:get(?MODULE))) ++ "/status",
    {ok, Text} = file:read_file(File),
    {match, [Kib]} = re:run(Text, "VmRSS:\\s+([0-9]+) kB", [{capture, all_but_first, list}]),
    list_to_integer(Kib).

%% After the first rounds it does not grow any more.
flat(Memory) ->
    {First, Rest} = lists:split(length(Memory) div 3, Memory),
    Grown = lists:last(Rest) - lists:max(First),
    io:format(user, "  ~b rounds: resident memory ~b KiB after ~b, ~b KiB after all~n", [
        length(Memory), lists:last(First), length(First), lists:last(Rest)
    ]),
    tb_lib:is_sanitized(persistent_term:get(?MODULE)) orelse ?assert(Grown < 256),
    ok.

%% Its monitors see it end; the new one knows who is connected.
restarted(N) ->
    ok = ?MON:monitor_nodes(N, true),
    Ref = erlang:monitor(process, {node_monitor, N}),
    Old = tb_lib:pid_of(N, node_monitor),
    exit(Old, kill),
    ?assertEqual({'DOWN', Ref, process, {node_monitor, N}, killed}, one_message()),
    tb_lib:until(fun() -> not lists:member(tb_lib:pid_of(N, node_monitor), [Old, undefined]) end),
    Me = node(),
    ?assertMatch(#{subscribers := 0, nodes := #{Me := #{state := up}}}, ?MON:info(N)),
    with_beam(N, mon_a, fun(_, _) -> ok end),
    ?assertEqual([], tb_lib:flush()).
