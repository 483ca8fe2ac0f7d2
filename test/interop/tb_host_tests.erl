%% tb_host_tests - tiebeam_host alone: this process plays the tiebeam node, with
%% processes on peers as other ones; hosts on peers hold copies. The messages
%% are those of priv/doc/host.md.
%%
%% TB_HOST_STEPS is the number of random steps; TB_SEED repeats a run.
%% HOST_BEAM, where it is set, is the module as a daemon carries it.
-module(tb_host_tests).
-include_lib("eunit/include/eunit.hrl").

%% children, and what runs on peers
-export([plain/1, stubborn/2, slow/2, told/2, outcome/1, twice/1]).
-export([forward/1, host_sup/2, init/1, flag_held/2]).
%% a logger handler
-export([log/2]).

-define(TIMEOUT, 300).
-define(NAME, jobs).
-define(LEASE, 60000).

-record(t, {host :: pid(), inc :: term(), pid :: pid()}).

-spec host_test_() -> tuple().
host_test_() ->
    {setup, fun() -> tb_lib:join(host) end, fun tb_lib:leave/1, [
        {timeout, ?TIMEOUT, {Title, fun() -> clean(Case) end}}
     || {Title, Case} <- tb_lib:chosen(cases())
    ]}.

cases() ->
    [
        {"what a start function may do", fun outcomes/0},
        {"a start of what is there", fun starts_again/0},
        {"stops and what comes after them", fun finals/0},
        {"shutdown: brutal_kill, a time, infinity", fun shutdowns/0},
        {"the host answers while a child stops", fun asynchronous/0},
        {"exits, with the exact reason", fun exits/0},
        {"exits while nobody is attached are kept", fun kept_exits/0},
        {"tombstones", fun tombstones/0},
        {"records: the higher stamp", fun records/0},
        {"refusals: all or nothing", fun refusals/0},
        {"a generation is closed", fun closing/0},
        {"a host that was forgotten is cleared", fun cleared/0},
        {"named children stop in reverse order", fun reverse_order/0},
        {"a lease runs out", fun lease/0},
        {"a host that was stopped judges late", fun late_judgement/0},
        {"owners: the smallest name that is ready", fun owners/0},
        {"an owner that is gone has told nothing later", fun owner_gone/0},
        {"nodes come and go", fun nodes_events/0},
        {"a backup holds what is not temporary", fun backups/0},
        {"a backup that is killed", fun backup_killed/0},
        {"a backup that missed a message asks", fun backup_gap/0},
        {"a backup of another generation keeps nothing", fun backup_closed/0},
        {"one that does not read disturbs nobody", fun deaf/0},
        {"every end of the host ends its children", fun ends/0},
        {"a start that comes with the end", fun unknown_children/0},
        {"a node that stops", fun node_stops/0},
        {"a host of the release takes over", fun take_over/0},
        {"walks of the supervision tree", fun tree/0},
        {"reports as of a supervisor", fun reports/0},
        {"random commands against a model", fun random/0},
        {"many children", fun many/0},
        {"the module that a daemon carries", fun carried/0}
    ].

%% In a process of its own, so that nothing of one case reaches the next.
clean(Case) ->
    {Pid, Monitor} = spawn_monitor(fun() ->
        process_flag(trap_exit, true),
        Case(),
        [exit(H, shutdown) || H <- [whereis(tiebeam_host_jobs)], is_pid(H)]
    end),
    receive
        {'DOWN', Monitor, process, Pid, normal} -> tb_lib:until(fun() -> whereis(tiebeam_host_jobs) =:= undefined end);
        {'DOWN', Monitor, process, Pid, {Reason, Stack}} -> erlang:raise(error, Reason, Stack);
        {'DOWN', Monitor, process, Pid, Reason} -> error(Reason)
    end.

%% ---------------------------------------------------------------- children

plain(_) ->
    {ok, spawn_link(fun obey/0)}.

obey() ->
    receive
        {exit, Reason} -> exit(Reason)
    end.

%% Traps exits and takes no notice.
stubborn(Test, Tag) ->
    Self = self(),
    Pid = spawn_link(fun() ->
        process_flag(trap_exit, true),
        Self ! {ready, self()},
        deafen(Test, Tag)
    end),
    receive
        {ready, Pid} -> {ok, Pid}
    end.

deafen(Test, Tag) ->
    receive
        {'EXIT', _, Reason} ->
            Test ! {asked, Tag, Reason},
            deafen(Test, Tag);
        {exit, Reason} ->
            exit(Reason)
    end.

%% Ends when the test lets it.
slow(Test, Tag) ->
    told(Test, {wait, Tag}).

%% Says that it was told to end.
told(Test, Tag) ->
    Self = self(),
    Pid = spawn_link(fun() ->
        process_flag(trap_exit, true),
        Self ! {ready, self()},
        receive
            {'EXIT', _, Reason} ->
                Test ! {ending, Tag, self(), Reason},
                wait_for(Tag),
                exit(Reason);
            {exit, Reason} ->
                exit(Reason)
        end
    end),
    receive
        {ready, Pid} -> {ok, Pid}
    end.

wait_for({wait, _}) ->
    receive
        go -> ok
    end;
wait_for(_) ->
    ok.

outcome({error, Term}) -> error(Term);
outcome({exit, Term}) -> exit(Term);
outcome({throw, Term}) -> throw(Term);
outcome({info, Info}) -> {ok, spawn_link(fun obey/0), Info};
outcome({return, Term}) -> Term.

%% Fails from the second time on.
twice(Flag) ->
    case ets:update_counter(Flag, starts, 1, {starts, 0}) of
        1 -> plain(Flag);
        _ -> {error, again}
    end.

spec(Function, Args) ->
    spec(dynamic, undefined, Function, Args, permanent, 5000).

spec(Kind, Id, Function, Args, Restart, Shutdown) ->
    {Kind, Id, {?MODULE, Function, Args}, Restart, false, Shutdown, worker, [?MODULE]}.

key(N) ->
    {node(), 1, N}.

%% ------------------------------------------------------- the tiebeam node

%% A host on this node, attached and owned, with generation 1 open.
host() ->
    {ok, Host} = tiebeam_host:start_link(?NAME),
    T = own(attach(Host)),
    open(1, T),
    T.

open(Generation, T) ->
    run(T, Generation - 1, [{record, generation, {Generation, node()}, Generation}]),
    _ = until_event(fun(E) -> E =:= {record, generation, {Generation, node()}, Generation} end),
    ok.

attach(Host) ->
    attach(Host, self(), ?LEASE).

attach(Host, Pid, Lease) ->
    {ok, 1, Inc, Info} = gen_server:call(Host, {attach, 1, Pid, #{lease => Lease}}),
    true = is_map(Info),
    #t{host = Host, inc = Inc, pid = Pid}.

own(#t{host = Host, pid = Pid} = T) ->
    gen_server:cast(Host, {lease, Pid, true}),
    _ = until_event(fun
        ({owner, N, _}) -> N =:= node(Pid);
        (_) -> false
    end),
    T.

epoch(#t{host = Host}) ->
    {ok, State} = {ok, sys:get_status(Host)},
    {status, _, _, [_, _, _, _, [_, _, {data, [{"State", Info}]} | _]]} = State,
    maps:get(epoch, Info).

run(T, Commands) ->
    run(T, 1, Commands).

run(#t{host = Host, pid = Pid} = T, Generation, Commands) ->
    gen_server:cast(Host, {run, Pid, epoch(T), Generation, none, Commands}).

%% The events up to the first that fits, in order.
until_event(Fits) ->
    until_event(Fits, []).

until_event(Fits, Before) ->
    case next_event() of
        {_, Event} ->
            case Fits(Event) of
                true -> lists:reverse([Event | Before]);
                false -> until_event(Fits, [Event | Before])
            end
    end.

%% One event, and the number that came with it.
next_event() ->
    case get(events) of
        [Event | Rest] ->
            put(events, Rest),
            {get(seq), Event};
        _ ->
            receive
                {tiebeam_host, ?NAME, _, _, Seq, Events} ->
                    put(events, Events),
                    put(seq, Seq),
                    next_event()
            after 60000 -> error({no_event, tb_lib:mailbox()})
            end
    end.

next() ->
    {_, Event} = next_event(),
    Event.

%% Nothing more comes than what this brings.
nothing_before(T) ->
    run(T, [{copies, mark}]),
    ?assertEqual({copies, mark}, next()).

start(T, N, Spec) ->
    run(T, [{start, key(N), {1, []}, Spec, []}]),
    {started, Key, {1, []}, Spec, {ok, Pid}} = next(),
    ?assertEqual(key(N), Key),
    Pid.

table(#t{host = Host}) ->
    lists:sort(gen_server:call(Host, table)).

states(T) ->
    [{N, State} || {{_, 1, N}, _, _, State} <- table(T)].

ended(Pid) ->
    Monitor = monitor(process, Pid),
    receive
        {'DOWN', Monitor, process, Pid, Reason} -> Reason
    after 60000 -> error({lives, Pid})
    end.

%% --------------------------------------------------------------- commands

outcomes() ->
    T = host(),
    Dynamic = fun(What) -> spec(outcome, [What]) end,
    Named = fun(What, Restart) -> spec(named, a, outcome, [What], Restart, 5000) end,
    Cases = [
        {Dynamic({info, more}), kept},
        {Dynamic({return, ignore}), gone},
        {Named({return, ignore}, permanent), undefined},
        {Named({return, ignore}, transient), undefined},
        {Named({return, ignore}, temporary), gone},
        {Dynamic({return, {error, why}}), gone},
        {Named({return, {error, why}}, permanent), gone},
        {Dynamic({return, {ok, not_a_pid}}), gone},
        {Dynamic({return, 17}), gone},
        {Dynamic({error, badness}), gone},
        {Dynamic({exit, gone_away}), gone},
        {Dynamic({throw, ball}), gone}
    ],
    Numbered = lists:zip(lists:seq(1, length(Cases)), Cases),
    run(T, [{start, key(N), {1, []}, Spec, []} || {N, {Spec, _}} <- Numbered]),
    Outcomes = [
        begin
            {started, Key, {1, []}, Spec, Outcome} = next(),
            ?assertEqual(key(N), Key),
            Outcome
        end
     || {N, {Spec, _}} <- Numbered
    ],
    ?assertMatch(
        [
            {ok, _, more},
            ignore,
            ignore,
            ignore,
            ignore,
            {error, why},
            {error, why},
            {other, {ok, not_a_pid}},
            {other, 17},
            {exception, error, badness, [_ | _]},
            {exception, exit, gone_away, [_ | _]},
            {exception, throw, ball, [_ | _]}
        ],
        Outcomes
    ),
    {ok, Pid, more} = hd(Outcomes),
    ?assertEqual([{1, {running, Pid}}, {3, undefined}, {4, undefined}], states(T)),
    %% extra arguments come first
    run(T, [{start, key(20), {1, []}, spec(told, [x]), [self()]}]),
    {started, _, _, _, {ok, _}} = next().

starts_again() ->
    T = host(),
    Flag = ets:new(flag, [public]),
    Spec = spec(named, a, twice, [Flag], permanent, 5000),
    Pid = start(T, 1, Spec),
    run(T, [{start, key(1), {2, []}, spec(plain, [x]), []}]),
    ?assertEqual({started, key(1), {1, []}, Spec, {present, {running, Pid}}}, next()),
    Pid ! {exit, normal},
    ?assertEqual({exited, key(1), Pid, normal}, next()),
    %% a restart that fails leaves the entry as it was
    run(T, [{start, key(1), {2, []}, Spec, []}]),
    ?assertEqual({started, key(1), {2, []}, Spec, {error, again}}, next()),
    ?assertEqual([{key(1), {1, []}, Spec, {exited, normal, Pid}}], table(T)),
    New = spec(named, a, plain, [y], permanent, 5000),
    run(T, [{start, key(1), {3, [x]}, New, []}]),
    {started, _, {3, [x]}, New, {ok, Again}} = next(),
    ?assertEqual([{key(1), {3, [x]}, New, {running, Again}}], table(T)),
    run(T, [{keep, key(1), {4, []}, New, stopped}, {keep, key(2), {4, []}, New, stopped}]),
    ?assertEqual({started, key(1), {3, [x]}, New, {present, {running, Again}}}, next()),
    ?assertEqual({kept, key(2), {4, []}, New, stopped}, next()),
    ?assertMatch([{1, {running, _}}, {2, stopped}], states(T)).

finals() ->
    T = host(),
    Spec = spec(named, a, plain, [1], permanent, 5000),
    Pids = [start(T, N, Spec) || N <- lists:seq(1, 5)],
    run(T, [
        {stop, key(1), delete},
        {stop, key(2), stopped},
        {stop, key(3), {moving, 'b@c'}},
        {stop, key(4), {delete, true}},
        {delete, key(5), false},
        {stop, key(6), delete},
        {delete, key(7), false}
    ]),
    Events = lists:sort([next() || _ <- lists:seq(1, 7)]),
    ?assertEqual(
        lists:sort([
            {stopped, key(1), delete, shutdown},
            {stopped, key(2), stopped, shutdown},
            {stopped, key(3), {moving, 'b@c'}, shutdown},
            {stopped, key(4), {delete, true}, shutdown},
            {stopped, key(5), {delete, false}, shutdown},
            {stopped, key(6), delete, not_found},
            {deleted, key(7)}
        ]),
        Events
    ),
    ?assertEqual([{2, stopped}, {3, {moving, 'b@c'}}], states(T)),
    ?assertNot(lists:any(fun is_process_alive/1, Pids)),
    run(T, [{stop, key(2), stopped}, {stop, key(3), delete}, {delete, key(2), false}]),
    ?assertEqual({stopped, key(2), stopped, not_running}, next()),
    ?assertEqual({stopped, key(3), delete, not_running}, next()),
    ?assertEqual({deleted, key(2)}, next()),
    ?assertEqual([], table(T)).

shutdowns() ->
    T = host(),
    Brutal = start(T, 1, spec(dynamic, undefined, stubborn, [self(), 1], permanent, brutal_kill)),
    Timed = start(T, 2, spec(dynamic, undefined, stubborn, [self(), 2], permanent, 50)),
    Patient = start(T, 3, spec(dynamic, undefined, stubborn, [self(), 3], permanent, infinity)),
    run(T, [{stop, key(N), delete} || N <- [3, 2, 1]]),
    ?assertEqual({stopped, key(1), delete, killed}, next()),
    ?assertEqual({stopped, key(2), delete, killed}, next()),
    receive
        {asked, 2, shutdown} -> ok
    end,
    receive
        {asked, 3, shutdown} -> ok
    end,
    ?assertEqual([false, false, true], [is_process_alive(P) || P <- [Brutal, Timed, Patient]]),
    Patient ! {exit, {at, last}},
    ?assertEqual({stopped, key(3), delete, {at, last}}, next()).

asynchronous() ->
    T = host(),
    Slow = start(T, 1, spec(dynamic, undefined, slow, [self(), 1], permanent, infinity)),
    run(T, [{stop, key(1), {moving, 'b@c'}}]),
    receive
        {ending, _, Slow, shutdown} -> ok
    end,
    ?assertEqual([{1, {stopping, Slow, {moving, 'b@c'}}}], states(T)),
    Other = start(T, 2, spec(plain, [1])),
    run(T, [{start, key(1), {2, []}, spec(plain, [1]), []}]),
    ?assertMatch({started, _, {1, []}, _, {present, {stopping, Slow, {moving, 'b@c'}}}}, next()),
    %% the last word counts
    run(T, [{stop, key(1), delete}]),
    nothing_before(T),
    Slow ! go,
    ?assertEqual({stopped, key(1), delete, shutdown}, next()),
    ?assertEqual([{2, {running, Other}}], states(T)).

exits() ->
    T = host(),
    Reasons = [normal, shutdown, {shutdown, x}, kill_me, {a, [b], <<"c">>}, killed],
    [
        begin
            Pid = start(T, N, spec(plain, [N])),
            Pid ! {exit, Reason},
            ?assertEqual({exited, key(N), Pid, Reason}, next())
        end
     || {N, Reason} <- lists:zip(lists:seq(1, length(Reasons)), Reasons)
    ],
    Killed = start(T, 10, spec(plain, [10])),
    exit(Killed, kill),
    ?assertEqual({exited, key(10), Killed, killed}, next()),
    ?assertMatch([{1, {exited, normal, _}} | _], states(T)),
    %% an exit of a stranger is none
    T#t.host ! {'EXIT', spawn(fun() -> ok end), bang},
    nothing_before(T).

kept_exits() ->
    #t{host = Host} = T = host(),
    Pid = start(T, 1, spec(plain, [1])),
    gen_server:cast(Host, {detach, self()}),
    Pid ! {exit, alone},
    tb_lib:until(fun() -> states(T) =:= [{1, {exited, alone, Pid}}] end),
    _ = own(attach(Host)),
    ?assertEqual([{1, {exited, alone, Pid}}], states(T)),
    put(events, []),
    tb_lib:flush(),
    %% all of the table, in parts, and an end
    run(T, [{start, key(N), {1, []}, spec(plain, [N]), []} || N <- lists:seq(2, 2500)]),
    _ = [{started, _, _, _, _} = next() || _ <- lists:seq(2, 2500)],
    _ = attach(Host),
    Events = until_event(fun(E) -> E =:= attached end),
    Parts = [Part || {entries, Part} <- Events],
    ?assertEqual([1000, 1000, 500], [length(P) || P <- Parts]),
    ?assertEqual(table(T), lists:sort(lists:append(Parts))).

tombstones() ->
    #t{host = Host} = T = host(),
    _ = start(T, 1, spec(plain, [1])),
    run(T, [{tombstone, [key(7), key(8)]}, {stop, key(1), {delete, true}}, {delete, key(2), true}]),
    _ = [next() || _ <- lists:seq(1, 3)],
    run(T, [{forget, [key(8), key(9)]}]),
    ?assertEqual({recorded, tombstones}, next()),
    _ = attach(Host),
    Events = until_event(fun(E) -> E =:= attached end),
    ?assertEqual([key(1), key(2), key(7)], lists:sort(lists:append([K || {tombstones, K} <- Events]))).

records() ->
    #t{host = Host} = T = host(),
    run(T, [
        {record, options, {2, b}, [x]},
        {record, options, {1, z}, [old]},
        {record, options, {2, a}, [lower]},
        {record, options, {2, c}, [y]}
    ]),
    ?assertEqual(
        [{{2, b}, [x]}, {{2, b}, [x]}, {{2, b}, [x]}, {{2, c}, [y]}],
        [
            begin
                {record, options, Stamp, Value} = next(),
                {Stamp, Value}
            end
         || _ <- lists:seq(1, 4)
        ]
    ),
    {ok, 1, _, #{records := Records}} = gen_server:call(Host, {attach, 1, self(), #{lease => 1000}}),
    ?assertMatch(#{options := {{2, c}, [y]}, generation := {_, 1}}, Records).

refusals() ->
    #t{host = Host} = T = host(),
    Start = {start, key(1), {1, []}, spec(plain, [1]), []},
    Epoch = epoch(T),
    Refused = fun(Run) ->
        gen_server:cast(Host, Run),
        next()
    end,
    run(T, [{record, set, {5, node()}, [node()]}]),
    {record, set, _, _} = next(),
    Stamp = {5, node()},
    ?assertEqual({refused, epoch, [key(1)]}, Refused({run, self(), Epoch - 1, 1, Stamp, [Start]})),
    ?assertEqual({refused, generation, [key(1)]}, Refused({run, self(), Epoch, 2, Stamp, [Start]})),
    ?assertEqual({refused, set, [key(1)]}, Refused({run, self(), Epoch, 1, {4, 'z@z'}, [Start]})),
    ?assertEqual({refused, set, [key(1)]}, Refused({run, self(), Epoch, 1, none, [Start]})),
    ?assertEqual(
        {refused, badarg, [key(1)]},
        Refused({run, self(), Epoch, 1, Stamp, [Start, {start, x, y}]})
    ),
    Bad = setelement(6, spec(plain, [1]), -1),
    ?assertEqual(
        {refused, badarg, [key(1)]},
        Refused({run, self(), Epoch, 1, Stamp, [{start, key(1), {1, []}, Bad, []}]})
    ),
    ?assertEqual([], table(T)),
    %% a stranger is not told, and does nothing
    gen_server:cast(Host, {run, spawn(fun() -> ok end), Epoch, 1, Stamp, [Start]}),
    gen_server:cast(Host, nonsense),
    Host ! nonsense,
    ?assertEqual({error, badarg}, gen_server:call(Host, {attach, 1, nobody, #{}})),
    ?assertEqual({error, {version, x}}, gen_server:call(Host, {attach, x, self(), #{lease => 1}})),
    ?assertMatch({error, {unknown_request, _}}, gen_server:call(Host, what)),
    gen_server:cast(Host, {run, self(), Epoch, 1, {6, a}, [{copies, mark}]}),
    ?assertEqual({copies, mark}, next()),
    ?assertEqual([], table(T)).

closing() ->
    T = host(),
    Quick = start(T, 1, spec(plain, [1])),
    Slow = start(T, 2, spec(dynamic, undefined, slow, [self(), 2], permanent, infinity)),
    run(T, [{tombstone, [key(9)]}]),
    {recorded, tombstones} = next(),
    run(T, [{close, 1}]),
    receive
        {ending, _, Slow, shutdown} -> ok
    end,
    _ = ended(Quick),
    ?assertEqual([], table(T)),
    %% nothing is started in it, and another may be opened while it ends
    run(T, [{start, key(3), {1, []}, spec(plain, [3]), []}]),
    ?assertEqual({refused, generation, [key(3)]}, next()),
    open(2, T),
    run(T, 2, [{start, key(4), {1, []}, spec(plain, [4]), []}]),
    {started, _, _, _, {ok, New}} = next(),
    Slow ! go,
    ?assertEqual({closed, 1}, next()),
    ?assertEqual([{4, {running, New}}], states(T)),
    %% closing an older one does nothing
    run(T, 2, [{close, 1}]),
    ?assertEqual({closed, 1}, next()),
    ?assertEqual([{4, {running, New}}], states(T)),
    %% a higher one takes all there is
    run(T, 2, [{close, 7}]),
    ?assertEqual({closed, 7}, next()),
    ?assertNot(is_process_alive(New)).

%% It is another incarnation then, without records; whoever was attached attaches again.
cleared() ->
    #t{inc = Inc} = T = host(),
    Quick = start(T, 1, spec(plain, [1])),
    Slow = start(T, 2, spec(dynamic, undefined, slow, [self(), 2], permanent, infinity)),
    run(T, [{tombstone, [key(9)]}]),
    {recorded, tombstones} = next(),
    run(T, [{clear, {1, <<"another">>}}]),
    ?assertEqual({cleared, {1, <<"another">>}}, next()),
    ?assertEqual([{1, {running, Quick}}, {2, {running, Slow}}], states(T)),
    run(T, [{clear, Inc}]),
    receive
        {ending, _, Slow, shutdown} -> ok
    end,
    _ = ended(Quick),
    ?assertEqual([], table(T)),
    run(T, [{clear, Inc}]),
    nothing_before(T),
    Slow ! go,
    ?assertEqual({cleared, Inc}, next()),
    {ok, 1, New, Info} = gen_server:call(T#t.host, {attach, 1, self(), #{lease => ?LEASE}}),
    ?assertNotEqual(Inc, New),
    ?assertMatch(#{records := Empty, seq := 0} when map_size(Empty) =:= 0, Info),
    ?assertEqual([], [E || {tombstones, _} = E <- until_event(fun(E) -> E =:= attached end)]).

reverse_order() ->
    T = host(),
    Named = fun(N) -> spec(named, N, told, [self(), N], permanent, infinity) end,
    Pids = [start(T, N, Named(N)) || N <- [1, 2, 3, 4]],
    %% a restart keeps the place
    First = hd(Pids),
    First ! {exit, oops},
    {exited, _, First, oops} = next(),
    run(T, [{start, key(1), {2, []}, Named(1), []}]),
    {started, _, _, _, {ok, _}} = next(),
    _ = start(T, 5, spec(told, [self(), 5])),
    run(T, [{close, 1}]),
    ?assertEqual({closed, 1}, next()),
    Order = order(),
    ?assertEqual([4, 3, 2, 1], [N || N <- Order, N =/= 5]),
    ?assert(lists:member(5, Order)).

order() ->
    receive
        {ending, N, _, shutdown} -> [N | order()]
    after 0 -> []
    end.

%% ------------------------------------------------------------------ owners

lease() ->
    {ok, Host} = tiebeam_host:start_link(?NAME),
    T = own(attach(Host, self(), 1000)),
    Before = epoch(T),
    [{owner, none, After}] = until_event(fun(E) -> element(1, E) =:= owner end),
    ?assertEqual(Before + 1, After),
    _ = own(T),
    ?assertEqual(After + 1, epoch(T)),
    %% renewed in time it goes on
    Until = erlang:monotonic_time(millisecond) + 3000,
    renew(T, Until),
    ?assertEqual(After + 1, epoch(T)),
    gen_server:cast(Host, {lease, self(), false}),
    ?assertEqual({owner, none, After + 2}, next()).

renew(#t{host = Host} = T, Until) ->
    gen_server:cast(Host, {lease, self(), true}),
    receive
    after 20 -> ok
    end,
    case erlang:monotonic_time(millisecond) < Until of
        true -> renew(T, Until);
        false -> ok
    end.

%% A timer that is due, and a renewal behind other messages.
late_judgement() ->
    {ok, Host} = tiebeam_host:start_link(?NAME),
    T = own(attach(Host, self(), 1000)),
    Epoch = epoch(T),
    true = erlang:suspend_process(Host),
    tb_lib:until(fun() -> element(2, process_info(Host, message_queue_len)) > 0 end),
    [gen_server:cast(Host, nonsense) || _ <- lists:seq(1, 1000)],
    gen_server:cast(Host, {lease, self(), true}),
    true = erlang:resume_process(Host),
    ?assertEqual(Epoch, epoch(T)),
    %% without one it judges, but not before a quarter has gone
    true = erlang:suspend_process(Host),
    tb_lib:until(fun() -> element(2, process_info(Host, message_queue_len)) > 0 end),
    Resumed = erlang:monotonic_time(millisecond),
    true = erlang:resume_process(Host),
    [{owner, none, _}] = until_event(fun(E) -> element(1, E) =:= owner end),
    ?assert(erlang:monotonic_time(millisecond) - Resumed >= 200).

%% A process on another node, whose messages come here.
forward(To) ->
    Monitor = monitor(process, To),
    forward_loop(To, Monitor).

forward_loop(To, Monitor) ->
    receive
        {'DOWN', Monitor, _, _, _} ->
            ok;
        Message ->
            To ! {forwarded, node(), Message},
            forward_loop(To, Monitor)
    end.

forwarded(Node, Fits) ->
    receive
        {forwarded, Node, {tiebeam_host, ?NAME, _, _, _, Events}} ->
            case [E || E <- Events, Fits(E)] of
                [] -> forwarded(Node, Fits);
                [Event | _] -> Event
            end
    after 60000 -> error({no_event_at, Node, tb_lib:mailbox()})
    end.

is_owner({owner, _, _}) -> true;
is_owner(_) -> false.

with_peers(Names, Fun) ->
    Beams = [tb_lib:beam(list_to_atom(tb_lib:name(N))) || N <- Names],
    Nodes = [tb_lib:node_of(B) || B <- Beams],
    [pong = net_adm:ping(N) || N <- Nodes],
    try
        Fun(lists:zip(Beams, Nodes))
    after
        [tb_lib:end_beam(B) || B <- Beams, get({ended, B}) =:= undefined]
    end.

kill_beam(Beam) ->
    put({ended, Beam}, true),
    tb_lib:end_beam(Beam).

owners() ->
    with_peers([aaa, zzz], fun([{Beam, A}, {_, Z}]) ->
        #t{host = Host} = T = host(),
        Epoch = epoch(T),
        [Pa, Pz] = [spawn(N, ?MODULE, forward, [self()]) || N <- [A, Z]],
        _ = attach(Host, Pz, ?LEASE),
        gen_server:cast(Host, {lease, Pz, true}),
        ?assertEqual(Epoch, epoch(T)),
        _ = attach(Host, Pa, ?LEASE),
        ?assertEqual(Epoch, epoch(T)),
        gen_server:cast(Host, {lease, Pa, true}),
        ?assertEqual({owner, A, Epoch + 1}, forwarded(A, fun is_owner/1)),
        ?assertEqual({owner, A, Epoch + 1}, forwarded(Z, fun is_owner/1)),
        [{owner, A, _}] = until_event(fun is_owner/1),
        gen_server:cast(Host, {run, self(), Epoch, 1, none, [{close, 1}]}),
        ?assertEqual({refused, epoch, []}, next()),
        gen_server:cast(Host, {run, self(), Epoch + 1, 1, none, [{close, 1}]}),
        ?assertEqual({refused, owner, []}, next()),
        gen_server:cast(Host, {lease, Pa, false}),
        [{owner, _, E2}] = until_event(fun is_owner/1),
        ?assertEqual(Epoch + 2, E2),
        gen_server:cast(Host, {lease, Pa, true}),
        [{owner, A, _}] = until_event(fun is_owner/1),
        kill_beam(Beam),
        [_ | _] = until_event(fun(E) -> E =:= {owner, node(), Epoch + 4} end)
    end).

owner_gone() ->
    with_peers([aaa], fun([{_, A}]) ->
        #t{host = Host} = T = host(),
        Pa = spawn(A, ?MODULE, forward, [self()]),
        _ = attach(Host, Pa, ?LEASE),
        gen_server:cast(Host, {lease, Pa, true}),
        [{owner, A, Epoch}] = until_event(fun is_owner/1),
        %% all that it did is told before the change
        gen_server:cast(Host, {run, Pa, Epoch, 1, none, [{start, key(1), {1, []}, spec(plain, [1]), []}]}),
        gen_server:cast(Host, {detach, Pa}),
        gen_server:cast(Host, {run, Pa, Epoch, 1, none, [{start, key(2), {1, []}, spec(plain, [1]), []}]}),
        {started, _, _, _, {ok, Pid}} = next(),
        ?assertEqual({owner, node(), Epoch + 1}, next()),
        nothing_before(T),
        ?assertEqual([{1, {running, Pid}}], states(T))
    end).

nodes_events() ->
    _ = host(),
    with_peers([peer], fun([{Beam, N}]) ->
        _ = until_event(fun(E) -> E =:= {nodes, [N]} end),
        kill_beam(Beam),
        _ = until_event(fun(E) -> E =:= {nodes, []} end)
    end).

%% ----------------------------------------------------------------- backups

host_sup(Name, To) ->
    Pid = spawn(fun() ->
        process_flag(trap_exit, true),
        {ok, Host} = tiebeam_host:start_link(Name),
        To ! {host, self(), Host},
        receive
            stop -> exit(Host, shutdown)
        end,
        receive
            {'EXIT', Host, Reason} -> To ! {host_ended, Host, Reason}
        end
    end),
    Pid.

host_at(Node) ->
    Sup = rpc:call(Node, ?MODULE, host_sup, [?NAME, self()]),
    receive
        {host, Sup, Host} -> Host
    end.

%% The copies that Host holds of this node's host.
held(Host) ->
    held_by(attach_quietly(Host), []).

attach_quietly(Host) ->
    Self = self(),
    Ref = make_ref(),
    spawn(fun() ->
        {ok, 1, _, _} = gen_server:call(Host, {attach, 1, self(), #{lease => 1000}}),
        Self ! {Ref, collect([])}
    end),
    receive
        {Ref, Events} -> Events
    after 60000 -> error(no_table)
    end.

collect(Events) ->
    receive
        {tiebeam_host, _, _, _, _, [attached]} -> lists:reverse(Events);
        {tiebeam_host, _, _, _, _, [Event]} -> collect([Event | Events]);
        {tiebeam_host, _, _, _, _, _} -> collect(Events)
    end.

held_by(Events, _) ->
    lists:sort([{Inc, Seq, lists:sort(E)} || {copies, N, Inc, Seq, E} <- Events, N =:= node()]).

copied(Holder, Inc, Seq) ->
    receive
        {tiebeam_copied, ?NAME, Holder, N, Inc, S} when N =:= node(), S >= Seq -> S
    after 60000 -> error({not_copied, Seq, tb_lib:mailbox()})
    end.

seq() ->
    get(seq).

backups() ->
    with_peers([b1, b2], fun([{_, B1}, {_, B2}]) ->
        #t{inc = Inc} = T = host(),
        [H1, H2] = [host_at(N) || N <- [B1, B2]],
        Spec = spec(plain, [1]),
        Temporary = spec(dynamic, undefined, plain, [1], temporary, 5000),
        _ = start(T, 1, Spec),
        Temp = start(T, 2, Temporary),
        run(T, [{backup, B1}]),
        {backup, B1} = event(fun(E) -> element(1, E) =:= backup end),
        S1 = copied(B1, Inc, 1),
        ?assertEqual([{Inc, S1, [{key(1), {1, []}, Spec, running}]}], held(H1)),
        %% changes, and their number
        run(T, [{start, key(3), {2, [x]}, Spec, []}]),
        {started, _, _, _, {ok, P3}} = event(fun(E) -> element(1, E) =:= started end),
        ?assertEqual(S1 + 1, seq()),
        _ = copied(B1, Inc, S1 + 1),
        P3 ! {exit, bang},
        Temp ! {exit, bang},
        run(T, [{stop, key(1), {moving, B2}}, {keep, key(4), {1, []}, Spec, stopped}]),
        _ = event(fun(E) -> element(1, E) =:= stopped end),
        S2 = copied(B1, Inc, seq()),
        Entries = [
            {key(1), {1, []}, Spec, {moving, B2}},
            {key(3), {2, [x]}, Spec, {exited, bang}},
            {key(4), {1, []}, Spec, stopped}
        ],
        tb_lib:until_equal([Entries], fun() -> [E || {_, _, E} <- held(H1)] end),
        %% another backup; the old copies go when they are told to
        run(T, [{backup, B2}]),
        _ = event(fun(E) -> E =:= {backup, B2} end),
        S3 = copied(B2, Inc, S2 + 1),
        ?assertEqual([{Inc, S3, Entries}], held(H2)),
        ?assertMatch([{Inc, S, _}] when S < S3, held(H1)),
        run(T, [{delete, key(4), false}]),
        _ = event(fun(E) -> element(1, E) =:= deleted end),
        S4 = copied(B2, Inc, seq()),
        ?assertEqual([{Inc, S4, lists:droplast(Entries)}], held(H2)),
        ?assertMatch([{Inc, _, [_, _, _]}], held(H1)),
        T1 = own_remote(H1),
        gen_server:cast(H1, {run, self(), epoch(T1), 0, none, [{copies, node()}, {drop, node(), Inc}, {copies, node()}]}),
        Seen = until_event(fun(E) -> E =:= {dropped, node(), Inc} end),
        ?assertMatch([_], [S || {copies, _, _, S, [_, _, _]} <- Seen]),
        ?assertEqual({copies, node()}, next()),
        ?assertEqual([], held(H1)),
        %% dropped where they are wanted: they come again
        T2 = own_remote(H2),
        gen_server:cast(H2, {run, self(), epoch(T2), 0, none, [{drop, node(), Inc}]}),
        _ = until_event(fun(E) -> E =:= {dropped, node(), Inc} end),
        tb_lib:until_equal([lists:droplast(Entries)], fun() -> [E || {_, _, E} <- held(H2)] end),
        run(T, [{backup, none}]),
        _ = event(fun(E) -> E =:= {backup, none} end)
    end).

own_remote(Host) ->
    own(attach(Host)).

%% Skips what else comes.
event(Fits) ->
    lists:last(until_event(Fits)).

backup_killed() ->
    with_peers([b1, b2], fun([{Beam, B1}, {_, B2}]) ->
        #t{inc = Inc, host = Host} = T = host(),
        [_, H2] = [host_at(N) || N <- [B1, B2]],
        Pids = [start(T, N, spec(plain, [N])) || N <- lists:seq(1, 50)],
        run(T, [{backup, B1}]),
        _ = event(fun(E) -> E =:= {backup, B1} end),
        _ = copied(B1, Inc, 1),
        kill_beam(Beam),
        _ = event(fun(E) -> E =:= {nodes, [B2]} end),
        %% it goes on without, and tells the next one all
        _ = start(T, 51, spec(plain, [51])),
        run(T, [{backup, B2}]),
        _ = event(fun(E) -> E =:= {backup, B2} end),
        _ = copied(B2, Inc, seq()),
        [{Inc, _, Entries}] = held(H2),
        ?assertEqual([key(N) || N <- lists:seq(1, 51)], [K || {K, _, _, running} <- Entries]),
        ?assert(lists:all(fun is_process_alive/1, Pids)),
        ?assertEqual(B2, maps:get(backup, info(Host)))
    end).

info(Host) ->
    {status, _, _, [_, _, _, _, [_, _, {data, [{"State", Info}]} | _]]} = sys:get_status(Host),
    Info.

%% What a link that broke and came back has lost.
backup_gap() ->
    with_peers([b1], fun([{_, B1}]) ->
        #t{inc = Inc} = T = host(),
        H1 = host_at(B1),
        Spec = spec(plain, [1]),
        _ = start(T, 1, Spec),
        run(T, [{backup, B1}]),
        _ = event(fun(E) -> E =:= {backup, B1} end),
        S1 = copied(B1, Inc, 1),
        %% as if one had been lost
        H1 ! {tiebeam_copy, ?NAME, node(), Inc, 1, S1 + 2, [{delete, key(1)}], [self()]},
        S2 = copied(B1, Inc, S1 + 1),
        ?assertEqual([{Inc, S2, [{key(1), {1, []}, Spec, running}]}], held(H1)),
        %% half a set is not shown
        H1 ! {tiebeam_copy, ?NAME, node(), Inc, 1, S2 + 9, [clear], [self()]},
        H1 ! {tiebeam_copy, ?NAME, node(), Inc, 1, S2 + 10, [{put, key(2), 1, Spec, running}], [self()]},
        ?assertEqual([{Inc, S2, [{key(1), {1, []}, Spec, running}]}], held(H1)),
        H1 ! {tiebeam_copy, ?NAME, node(), Inc, 1, S2 + 11, [whole], [self()]},
        ?assertEqual(S2 + 11, copied(B1, Inc, S2 + 9)),
        ?assertEqual([{Inc, S2 + 11, [{key(2), 1, Spec, running}]}], held(H1)),
        true = erlang:disconnect_node(B1),
        _ = event(fun(E) -> E =:= {nodes, []} end),
        _ = start(T, 3, Spec),
        pong = net_adm:ping(B1),
        _ = copied(B1, Inc, seq()),
        ?assertMatch([{Inc, _, [{_, _, Spec, running}, {_, _, Spec, running}]}], held(H1))
    end).

backup_closed() ->
    with_peers([b1], fun([{_, B1}]) ->
        #t{inc = Inc} = T = host(),
        H1 = host_at(B1),
        T1 = own_remote(H1),
        gen_server:cast(H1, {run, self(), epoch(T1), 0, none, [{close, 1}]}),
        _ = event(fun(E) -> E =:= {closed, 1} end),
        gen_server:cast(H1, {detach, self()}),
        _ = start(T, 1, spec(plain, [1])),
        run(T, [{backup, B1}]),
        _ = event(fun(E) -> E =:= {backup, B1} end),
        _ = copied(B1, Inc, 1),
        ?assertEqual([], held(H1)),
        run(T, [{close, 1}]),
        _ = event(fun(E) -> E =:= {closed, 1} end),
        open(2, T),
        run(T, 2, [{start, key(2), {1, []}, spec(plain, [1]), []}]),
        _ = event(fun(E) -> element(1, E) =:= started end),
        _ = copied(B1, Inc, seq()),
        tb_lib:until(fun() -> [key(2)] =:= [K || {_, _, E} <- held(H1), {K, _, _, _} <- E] end)
    end).

%% A tiebeam node that is stopped: its connection fills, the host goes on.
deaf() ->
    with_peers([aaa], fun([{Beam, A}]) ->
        #t{host = Host} = T = host(),
        Pa = spawn(A, ?MODULE, forward, [self()]),
        _ = attach(Host, Pa, ?LEASE),
        tb_lib:signal(Beam, "STOP"),
        try
            Big = spec(plain, [binary_to_list(binary:copy(<<"x">>, 100000))]),
            Before = erlang:monotonic_time(millisecond),
            [
                begin
                    run(T, [{start, key(N), {1, []}, Big, []}]),
                    {started, _, _, _, {ok, _}} = next()
                end
             || N <- lists:seq(1, 60)
            ],
            ?assert(erlang:monotonic_time(millisecond) - Before < 60000)
        after
            tb_lib:signal(Beam, "CONT")
        end
    end).

%% -------------------------------------------------------------------- ends

ends() ->
    [
        begin
            {ok, Host} = tiebeam_host:start_link(?NAME),
            T = own(attach(Host)),
            open(1, T),
            Told = start(T, 1, spec(told, [self(), 1])),
            Stubborn = start(T, 2, spec(dynamic, undefined, stubborn, [self(), 2], permanent, 20)),
            Slow = start(T, 3, spec(told, [self(), 3])),
            run(T, [{stop, key(3), delete}]),
            End(Host),
            ?assert(lists:member(reason(ended(Host)), [noproc, Reason])),
            ?assertEqual([false, false, false], [is_process_alive(P) || P <- [Told, Stubborn, Slow]]),
            receive
                {ending, 1, Told, shutdown} -> ok
            end,
            receive
                {asked, 2, shutdown} -> ok
            end,
            put(events, []),
            tb_lib:flush()
        end
     || {End, Reason} <- [
            {fun(H) -> exit(H, shutdown) end, shutdown},
            {fun(H) -> exit(H, {my, reason}) end, {my, reason}},
            {fun(H) -> ok = gen_server:stop(H, normal, infinity) end, normal},
            {fun(H) -> sys:terminate(H, over) end, over},
            {fun fail_to_judge/1, badarith},
            {fun fail_to_send/1, function_clause}
        ]
    ].

reason({Reason, [{_, _, _, _} | _]}) -> Reason;
reason(Reason) -> Reason.

%% A fault of its own, when it sends: there is no such list.
fail_to_send(Host) ->
    break(Host, [], not_a_list),
    gen_server:cast(Host, {lease, self(), false}).

%% In the middle of a message: there is no such number.
fail_to_judge(Host) ->
    break(Host, maps:get(epoch, info(Host)), not_a_number),
    gen_server:cast(Host, {lease, self(), false}).

%% Puts another value in the place of the last one of these.
break(Host, Value, Other) ->
    _ = sys:replace_state(Host, fun(State) ->
        [At | _] = [N || N <- lists:seq(tuple_size(State), 1, -1), element(N, State) =:= Value],
        setelement(At, State, Other)
    end),
    ok.

unknown_children() ->
    {ok, Host} = tiebeam_host:start_link(?NAME),
    T = own(attach(Host)),
    open(1, T),
    %% linked, and in no table
    Self = self(),
    Stranger = spawn(fun() ->
        process_flag(trap_exit, true),
        link(Host),
        Self ! linked,
        receive
            {'EXIT', Host, Reason} -> Self ! {stranger, Reason}
        end
    end),
    receive
        linked -> ok
    end,
    exit(Host, shutdown),
    receive
        {stranger, shutdown} -> ok
    after 60000 -> error(not_told)
    end,
    ?assert(lists:member(ended(Host), [noproc, shutdown])),
    ?assertNot(is_process_alive(Stranger)).

%% A release: its supervisor has the host; the node stops.
init([Name]) ->
    {ok, {#{strategy => one_for_one}, [tiebeam_host:child_spec(Name)]}}.

flag_held(Name, To) ->
    spawn(fun() ->
        {ok, Sup} = supervisor:start_link(?MODULE, [Name]),
        [{_, Host, supervisor, _}] = supervisor:which_children(Sup),
        To ! {release, Sup, Host},
        receive
            never -> ok
        end
    end).

release_at(Node) ->
    _ = rpc:call(Node, ?MODULE, flag_held, [?NAME, self()]),
    receive
        {release, Sup, Host} -> {Sup, Host}
    after 60000 -> error(no_release)
    end.

node_stops() ->
    with_peers([b1], fun([{Beam, B1}]) ->
        Spec = tiebeam_host:child_spec(?NAME),
        {ok, Host} = rpc:call(B1, supervisor, start_child, [kernel_safe_sup, Spec#{restart := temporary}]),
        T = own(attach(Host)),
        open(1, T),
        [
            begin
                run(T, [{start, key(N), {1, []}, spec(named, N, told, [self(), N], permanent, infinity), []}]),
                _ = event(fun(E) -> element(1, E) =:= started end)
            end
         || N <- [1, 2, 3]
        ],
        ok = rpc:call(B1, init, stop, []),
        _ = event(fun(E) -> element(1, E) =:= stopping end),
        receive
            {ending, 1, _, shutdown} -> ok
        after 60000 -> error(not_stopped)
        end,
        ?assertEqual([3, 2], order()),
        put({ended, Beam}, true),
        ?assertEqual(0, tb_lib:wait_exit(Beam))
    end).

take_over() ->
    with_peers([b1, b2], fun([{_, B1}, {_, B2}]) ->
        Spec = tiebeam_host:child_spec(?NAME),
        {ok, Old} = rpc:call(B1, supervisor, start_child, [kernel_safe_sup, Spec#{restart := temporary}]),
        #t{inc = Inc} = T = own(attach(Old)),
        open(1, T),
        Child = spec(told, [self(), 1]),
        run(T, [
            {start, key(1), {1, []}, Child, []},
            {keep, key(2), {1, []}, Child, stopped},
            {tombstone, [key(7)]},
            {record, drained, {4, node()}, [x]}
        ]),
        {started, _, _, _, {ok, Pid}} = next(),
        _ = event(fun(E) -> element(1, E) =:= record end),
        Old ! {tiebeam_copy, ?NAME, B2, {1, <<"x">>}, 1, 1, [clear, {put, key(5), 1, Child, running}, whole], []},
        {_, New} = release_at(B1),
        receive
            {ending, 1, Pid, shutdown} -> ok
        after 60000 -> error(not_stopped)
        end,
        _ = ended(Old),
        ?assertNot(lists:keymember(Old, 2, rpc:call(B1, supervisor, which_children, [kernel_safe_sup]))),
        ?assertEqual(New, rpc:call(B1, erlang, whereis, [tiebeam_host_jobs])),
        {ok, 1, NewInc, #{records := Records}} = gen_server:call(New, {attach, 1, self(), #{lease => 1000}}),
        ?assertNotEqual(Inc, NewInc),
        ?assertMatch(#{drained := {{4, _}, [x]}, generation := {_, 1}}, Records),
        put(events, []),
        Events = until_event(fun(E) -> E =:= attached end),
        Copies = lists:sort([{N, I, lists:sort(E)} || {copies, N, I, _, E} <- Events]),
        ?assertEqual(
            [
                {B1, Inc, [{key(1), {1, []}, Child, running}, {key(2), {1, []}, Child, stopped}]},
                {B2, {1, <<"x">>}, [{key(5), 1, Child, running}]}
            ],
            Copies
        ),
        ?assertEqual([[key(7)]], [K || {tombstones, K} <- Events]),
        ?assertEqual([], [E || {entries, E} <- Events]),
        %% a second one in the release does not
        ?assertEqual({error, {already_started, New}}, rpc:call(B1, tiebeam_host, start_link, [?NAME]))
    end).

%% ---------------------------------------------------------- what is around

tree() ->
    #t{host = Host} = T = host(),
    Pid = start(T, 1, spec(named, {my, id}, plain, [1], permanent, 5000)),
    Sup = setelement(7, spec(plain, [2]), supervisor),
    Other = start(T, 2, Sup),
    run(T, [{keep, key(3), {1, []}, spec(named, c, plain, [1], permanent, 5000), stopped}]),
    {kept, _, _, _, _} = next(),
    ?assertEqual(
        lists:sort([
            {{my, id}, Pid, worker, [?MODULE]},
            {undefined, Other, supervisor, [?MODULE]},
            {c, undefined, worker, [?MODULE]}
        ]),
        lists:sort(supervisor:which_children(Host))
    ),
    ?assertEqual(
        [{specs, 3}, {active, 2}, {supervisors, 1}, {workers, 2}],
        supervisor:count_children(Host)
    ),
    ?assertEqual(tiebeam_host, supervisor:get_callback_module(Host)),
    Other ! {exit, oops},
    {exited, _, _, _} = next(),
    ?assert(lists:member({undefined, restarting, supervisor, [?MODULE]}, supervisor:which_children(Host))),
    ok = sys:suspend(Host),
    ok = sys:resume(Host),
    ?assert(is_process_alive(Host)).

log(#{msg := {report, #{label := {supervisor, _}} = Report}, meta := Meta}, #{config := To}) ->
    To ! {report, Report, Meta};
log(_, _) ->
    ok.

reports() ->
    #{level := Level} = logger:get_primary_config(),
    ok = logger:set_primary_config(level, error),
    ok = logger:add_handler(?MODULE, ?MODULE, #{config => self()}),
    _ = logger:set_handler_config(default, level, none),
    try
        T = host(),
        Expected = [
            {permanent, normal, true},
            {permanent, oops, true},
            {transient, normal, false},
            {transient, {shutdown, x}, false},
            {transient, oops, true},
            {temporary, shutdown, false},
            {temporary, oops, true}
        ],
        [
            begin
                Pid = start(T, N, spec(named, N, plain, [1], Restart, 5000)),
                Pid ! {exit, Reason},
                {exited, _, _, _} = next(),
                receive
                    {report, #{report := Report, label := {supervisor, child_terminated}}, #{domain := [otp, sasl]}} ->
                        ?assertEqual({Restart, Reason, true}, {Restart, Reason, Reported}),
                        ?assertEqual(Reason, proplists:get_value(reason, Report)),
                        Offender = proplists:get_value(offender, Report),
                        ?assertEqual([Pid, N, Restart], [proplists:get_value(K, Offender) || K <- [pid, id, restart_type]])
                after 0 -> ?assertEqual({Restart, Reason, false}, {Restart, Reason, Reported})
                end
            end
         || {N, {Restart, Reason, Reported}} <- lists:zip(lists:seq(1, length(Expected)), Expected)
        ],
        _ = start(T, 20, spec(dynamic, undefined, stubborn, [self(), 1], permanent, 1)),
        run(T, [{stop, key(20), delete}]),
        {stopped, _, _, killed} = next(),
        receive
            {report, #{label := {supervisor, shutdown_error}}, _} -> ok
        after 0 -> error(no_report)
        end,
        _ = start(T, 21, spec(told, [self(), 1])),
        run(T, [{stop, key(21), delete}]),
        {stopped, _, _, shutdown} = next(),
        receive
            {report, R, _} -> error({unexpected, R})
        after 0 -> ok
        end
    after
        logger:remove_handler(?MODULE),
        logger:set_primary_config(level, Level)
    end.

%% --------------------------------------------------- random, and many of it

%% The model: Key => State, as the wire's description has it.
random() ->
    Steps = tb_lib:int_env("TB_HOST_STEPS", 3000),
    Seed = tb_lib:int_env("TB_SEED", erlang:unique_integer([positive]) + os:system_time(second)),
    io:format("TB_SEED=~B~n", [Seed]),
    _ = rand:seed(exsss, {Seed, 2, 3}),
    T = host(),
    _ = lists:foldl(fun(_, Model) -> random_step(T, Model) end, #{}, lists:seq(1, Steps)),
    ok.

random_step(T, Model) ->
    Key = key(rand:uniform(8)),
    {Commands, Expect} = random_command(Key, maps:get(Key, Model, none)),
    Next = Expect(T, Commands),
    New =
        case Next of
            none -> maps:remove(Key, Model);
            _ -> Model#{Key => Next}
        end,
    ?assertEqual(lists:sort(maps:values(maps:map(fun(K, {C, S}) -> {K, C, S} end, New))), [
        {K, C, S}
     || {K, C, _, S} <- table(T)
    ]),
    New.

random_command(Key, Was) ->
    Count = rand:uniform(1000),
    Spec = spec(
        lists:nth(rand:uniform(2), [dynamic, named]), Key, plain, [1], lists:nth(rand:uniform(3), [permanent, transient, temporary]), 5000
    ),
    case rand:uniform(7) of
        1 -> {{start, Key, Count, Spec, []}, fun(T, C) -> random_start(T, C, Was) end};
        2 -> {{start, Key, Count, Spec, []}, fun(T, C) -> random_start(T, C, Was) end};
        3 -> {{start, Key, Count, setelement(3, Spec, {?MODULE, outcome, [{return, {error, no}}]}), []}, fun(T, C) -> random_failure(T, C, Was) end};
        4 -> {{stop, Key, random_final()}, fun(T, C) -> random_stop(T, C, Was) end};
        5 -> {{delete, Key, rand:uniform(2) =:= 1}, fun(T, C) -> random_delete(T, C, Was) end};
        6 -> {{keep, Key, Count, Spec, stopped}, fun(T, C) -> random_keep(T, C, Was) end};
        7 -> {none, fun(T, _) -> random_exit(T, Key, Was) end}
    end.

random_final() ->
    lists:nth(rand:uniform(4), [delete, stopped, {moving, 'x@y'}, {delete, true}]).

random_start(T, {start, Key, Count, Spec, _} = Command, Was) ->
    run(T, [Command]),
    {started, Key, C, S, Outcome} = next(),
    case Was of
        {_, {running, Pid}} ->
            ?assertEqual({present, {running, Pid}}, Outcome),
            Was;
        _ ->
            {ok, Pid} = Outcome,
            ?assertEqual({Count, Spec}, {C, S}),
            {Count, {running, Pid}}
    end.

random_failure(T, Command, Was) ->
    run(T, [Command]),
    {started, _, _, _, Outcome} = next(),
    case Was of
        {_, {running, _} = State} -> ?assertEqual({present, State}, Outcome);
        _ -> ?assertEqual({error, no}, Outcome)
    end,
    Was.

random_stop(T, {stop, Key, Final} = Command, Was) ->
    run(T, [Command]),
    Reason =
        case Was of
            none -> not_found;
            {_, {running, _}} -> shutdown;
            _ -> not_running
        end,
    ?assertEqual({stopped, Key, Final, Reason}, next()),
    case {Was, Final} of
        {none, _} -> none;
        {_, delete} -> none;
        {_, {delete, _}} -> none;
        {{Count, _}, _} -> {Count, Final}
    end.

random_delete(T, {delete, Key, Tombstone} = Command, Was) ->
    run(T, [Command]),
    case Was of
        {_, {running, _}} -> ?assertEqual({stopped, Key, {delete, Tombstone}, shutdown}, next());
        _ -> ?assertEqual({deleted, Key}, next())
    end,
    none.

random_keep(T, {keep, Key, Count, Spec, stopped} = Command, Was) ->
    run(T, [Command]),
    case Was of
        {_, {running, _} = State} ->
            ?assertMatch({started, Key, _, _, {present, State}}, next()),
            Was;
        _ ->
            ?assertEqual({kept, Key, Count, Spec, stopped}, next()),
            {Count, stopped}
    end.

random_exit(_, Key, {Count, {running, Pid}}) ->
    Pid ! {exit, {bang, Count}},
    ?assertEqual({exited, Key, Pid, {bang, Count}}, next()),
    {Count, {exited, {bang, Count}, Pid}};
random_exit(_, _, Was) ->
    Was.

%% A table of 20,000 costs no more for each child than a small one.
many() ->
    T = host(),
    Count = 20000,
    run(T, [{start, key(N), {1, []}, spec(plain, [N]), []} || N <- lists:seq(1, Count)]),
    Pids = [
        begin
            {started, _, _, _, {ok, Pid}} = next(),
            Pid
        end
     || _ <- lists:seq(1, Count)
    ],
    [Pid ! {exit, normal} || Pid <- lists:sublist(Pids, 1000)],
    _ = [{exited, _, _, normal} = next() || _ <- lists:seq(1, 1000)],
    run(T, [{close, 1}]),
    ?assertEqual({closed, 1}, event(fun(E) -> element(1, E) =:= closed end)),
    ?assertNot(lists:any(fun is_process_alive/1, Pids)),
    ?assertEqual([], table(T)).

%% It loads on this release, and is the same.
carried() ->
    case os:getenv("HOST_BEAM") of
        false ->
            io:format("HOST_BEAM is not set~n");
        File ->
            {ok, Bytes} = file:read_file(File),
            with_peers([b1], fun([{_, B1}]) ->
                true = rpc:call(B1, code, del_path, [filename:dirname(code:which(tiebeam_host))]),
                ?assertEqual(non_existing, rpc:call(B1, code, which, [tiebeam_host])),
                ?assertEqual(
                    {module, tiebeam_host},
                    rpc:call(B1, code, load_binary, [tiebeam_host, "tiebeam_host.beam", Bytes])
                ),
                Spec = tiebeam_host:child_spec(?NAME),
                {ok, Host} = rpc:call(B1, supervisor, start_child, [kernel_safe_sup, Spec#{restart := temporary}]),
                T = own(attach(Host)),
                ?assertEqual(B1, node(T#t.host))
            end)
    end.
