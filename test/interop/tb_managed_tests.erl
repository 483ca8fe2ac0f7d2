%% tb_managed_tests - the managed set of the node monitor: its sources and all
%% the ways in which they fail, reconfigure, and those who are notified.
%%
%% Where the fourteen cases of SuperCache's NodeMonitor are:
%%
%%   starts with no options             options: none at all
%%   :nodes that are no atoms           options: what is no list of nodes
%%   a bad :nodes_mfa                   options: what is no MFA, and both sources
%%   an unlisted node is not live       nodes: whoever is not listed
%%   unmanaged nodeup, nodedown         nodes: another's nodeup and nodedown
%%   managed nodeup after a restart     nodes: up again after a restart
%%   managed nodedown                   nodes: down
%%   it is never managed itself         nodes: never itself
%%   the MFA's nodes at the start       nodes_mfa: at the start
%%   a refresh adds, removes            nodes_mfa: a refresh adds, removes
%%   an MFA that raises                 nodes_mfa: every way to fail
%%   a fixed list is never refreshed    nodes: no refresh
-module(tb_managed_tests).
-include_lib("eunit/include/eunit.hrl").

-behaviour(gen_server).

%% a manager, shaped as SuperCache.Cluster.Manager
-export([start_manager/1, init/1, handle_call/3, handle_cast/2, handle_info/2]).
-export([node_up/1, node_down/1]).
%% what nodes_mfa may call
-export([given/0, give/1, odd/1, held/1]).

-define(TIMEOUT, 300).
-define(MON, tiebeam_node_monitor).
-define(SLOW, 60000).

-spec managed_test_() -> tuple().
managed_test_() ->
    {setup, fun setup/0, fun cleanup/1, fun(_) ->
        [
            {timeout, ?TIMEOUT, {Title, fun() -> clean(Case) end}}
         || {Title, Case} <- tb_lib:chosen(cases())
        ]
    end}.

setup() ->
    %% first in name order, but for a_mfa
    tb_lib:join(aa_managed).

cleanup(Epmd) ->
    tb_lib:leave(Epmd).

clean(Case) ->
    _ = tb_lib:flush(),
    Case(),
    ?assertEqual([], tb_lib:flush()).

cases() ->
    [
        {"options: none at all", fun no_options/0},
        {"options: what is no list of nodes", fun bad_nodes/0},
        {"options: what is no MFA, and both sources", fun bad_mfa/0},
        {"options: a bad one changes nothing", fun bad_changes_nothing/0},
        {"nodes: whoever is not listed is not announced", fun unlisted/0},
        {"nodes: another's nodeup and nodedown", fun unmanaged_events/0},
        {"nodes: up again after a restart", fun managed_up/0},
        {"nodes: down", fun managed_down/0},
        {"nodes: never itself", fun not_itself/0},
        {"nodes: no refresh", fun no_refresh/0},
        {"nodes: many", fun many_nodes/0},
        {"nodes: a hidden one", fun hidden_one/0},
        {"nodes_mfa: at the start", fun mfa_start/0},
        {"nodes_mfa: a refresh adds", fun mfa_adds/0},
        {"nodes_mfa: a refresh removes", fun mfa_removes/0},
        {"nodes_mfa: every way to fail counts as the empty list", fun mfa_fails_empty/0},
        {"nodes_mfa: every way to fail keeps the last list", fun mfa_fails_keep/0},
        {"nodes_mfa: the node dies during the call", fun mfa_node_dies/0},
        {"nodes_mfa: nobody to ask, until there is", fun mfa_nobody/0},
        {"nodes_mfa: the first visible node in name order is asked", fun mfa_first/0},
        {"nodes_mfa: the attached node is asked before it", fun mfa_attached/0},
        {"nodes_mfa: a refresh does not hurry the dialling", fun mfa_backoff/0},
        {"reconfigure: no timer is left", fun no_timer_left/0},
        {"reconfigure: the difference, then who is connected", fun difference/0},
        {"reconfigure: from all to a set, and back", fun all_and_back/0},
        {"reconfigure: an older source's answer comes too late", fun stale/0},
        {"reconfigure: two at once", fun superseded/0},
        {"wanted nodes are dialled side by side, and again", fun dialling/0},
        {"notify: a manager, by cast", fun notify_cast/0},
        {"notify: plain messages", fun notify_send/0},
        {"notify: a module on each node", fun notify_call/0},
        {"notify: a module that fails", fun notify_failing/0},
        {"notify: what waits is told after a reconfigure, too", fun notify_waiting/0},
        {"notify: a new target hears of all", fun notify_new_target/0},
        {"health: a process that is stuck, and gone", fun health/0},
        {"health: a request of one's own", fun health_request/0},
        {"SIGHUP takes a changed section", fun sighup/0},
        {"node_monitor ends and is back", fun restarted/0}
    ].

%% ------------------------------------------------------------- the manager

-spec start_manager(atom()) -> {ok, pid()}.
start_manager(Name) ->
    gen_server:start({local, Name}, ?MODULE, [], []).

-spec init([]) -> {ok, map()}.
init([]) ->
    {ok, #{live => [node()], events => []}}.

-spec handle_call(term(), gen_server:from(), map()) -> tuple().
handle_call(live, _, S) ->
    {reply, lists:sort(maps:get(live, S)), S};
handle_call(events, _, #{events := Events} = S) ->
    {reply, lists:reverse(Events), S#{events => []}};
handle_call({hold, Pid}, _, S) ->
    _ = held(Pid),
    {reply, held, S};
handle_call(ping, _, S) ->
    {reply, pong, S}.

-spec handle_cast(term(), map()) -> {noreply, map()}.
handle_cast({node_up, Node}, #{live := Live} = S) ->
    {noreply, note({up, Node}, S#{live => lists:usort([Node | Live])})};
handle_cast({node_down, Node}, #{live := Live} = S) ->
    {noreply, note({down, Node}, S#{live => [N || N <- Live, N =/= Node orelse N =:= node()]})}.

-spec handle_info(term(), map()) -> {noreply, map()}.
handle_info(_, S) ->
    {noreply, S}.

note(Event, #{events := Events} = S) ->
    S#{events => [Event | Events]}.

%% {call, tb_managed_tests}: what a node hears, its own manager hears.
-spec node_up(node()) -> ok.
node_up(Node) ->
    ok = pass(persistent_term:get({?MODULE, gate}, open)),
    gen_server:cast(called, {node_up, Node}).

%% Calls get no further as long as that process lives.
pass(open) ->
    ok;
pass(Pid) ->
    Ref = monitor(process, Pid),
    gen_server:cast(called, {node_up, waiting}),
    receive
        {'DOWN', Ref, process, Pid, _} -> gen_server:cast(called, {node_down, waiting})
    end.

-spec node_down(node()) -> ok.
node_down(Node) ->
    gen_server:cast(called, {node_down, Node}).

%% ---------------------------------------------------------------- nodes_mfa

-spec give(term()) -> ok.
give(What) ->
    persistent_term:put(?MODULE, What).

%% The list that give/1 said; this node is asked, being the first one.
-spec given() -> term().
given() ->
    case persistent_term:get({?MODULE, asked}, none) of
        none -> ok;
        Asked -> counters:add(Asked, 1, 1)
    end,
    case persistent_term:get(?MODULE, []) of
        {odd, How} -> odd(How);
        List -> List
    end.

-spec odd(atom()) -> term().
odd(error) -> error(oops);
odd(exit) -> exit(oops);
odd(throw) -> throw(oops);
odd(badarith) -> 1 / (length(atom_to_list(node())) * 0);
odd(atom) -> not_a_list;
odd(integers) -> [1, 2, 3];
odd(some) -> [node(), "x"];
odd(names) -> [noname];
odd(improper) -> [node() | node()];
odd(map) -> #{};
odd(many) -> some_nodes(16385);
odd(noproc) -> gen_server:call(no_such_server, nodes);
odd(killed) -> exit(self(), kill), receive after infinity -> ok end;
odd(silent) -> receive after infinity -> [] end.

%% Until that process ends.
-spec held(pid()) -> [node()].
held(Pid) ->
    Ref = monitor(process, Pid),
    receive
        {'DOWN', Ref, process, Pid, _} -> [node()]
    end.

%% ------------------------------------------------------------------ helper

%% Cases about other states: a machine that is busy makes nobody suspect.
patient() ->
    {detector, [{suspect_ms, 10000}, {probe_ms, 500}]}.

config(Monitor) ->
    #{config => [{tiebeam, [{discovery, []}, {node_monitor, Monitor} | tb_lib:quiet()]}]}.

%% This VM has a manager of that name, and the daemon casts to it.
with_manager(Options, Fun) ->
    with_manager(Options, [{cast, {manager, node()}}], Fun).

with_manager(Options, Notify, Fun) ->
    {ok, Manager} = start_manager(manager),
    try
        Daemon = tb_lib:daemon(tb, config([{notify, Notify} | Options])),
        N = tb_lib:node_of(Daemon),
        try
            true = net_kernel:connect_node(N),
            Fun(N, Daemon)
        after
            tb_lib:stop(Daemon)
        end
    after
        gen_server:stop(Manager)
    end.

with_beams(Names, Fun) ->
    Beams = [tb_lib:beam(Name) || Name <- Names],
    try
        Fun([{tb_lib:node_of(B), B} || B <- Beams])
    after
        lists:foreach(fun tb_lib:end_beam/1, Beams)
    end.

reconfigure(N, Options) ->
    gen_server:call({node_monitor, N}, {reconfigure, Options}, ?SLOW).

live() ->
    gen_server:call(manager, live, ?SLOW) -- [node()].

events() ->
    gen_server:call(manager, events, ?SLOW).

%% All events up to now, and those that the daemon has sent by now.
events(N) ->
    _ = ?MON:info(N),
    events().

managed(N) ->
    lists:sort(?MON:nodes(N, managed)).

beam_name(Name) ->
    list_to_atom(atom_to_list(Name) ++ "@" ++ tb_lib:host()).

connected(N, B) ->
    tb_lib:until(fun() -> lists:member(B, ?MON:nodes(N)) end).

%% What a case of ours may not disturb: which of two events is the first.
sorted(List) ->
    lists:sort(List).

%% ----------------------------------------------------------------- options

no_options() ->
    with_manager([], fun(N, _) ->
        ?assertMatch(#{source := all}, ?MON:info(N)),
        with_beams([m_a], fun([{B, _}]) ->
            true = rpc:call(B, net_kernel, connect_node, [N]),
            tb_lib:until_equal([B], fun live/0),
            ?assertEqual(sorted([node(), B]), managed(N))
        end),
        tb_lib:until_equal([], fun live/0)
    end).

bad_nodes() ->
    with_manager([], fun(N, _) ->
        [
            ?assertEqual({error, {badarg, {nodes, Bad}}}, reconfigure(N, [{nodes, Bad}]))
         || Bad <- ["ab", not_a_list, [1], ["a@b"], [a], #{}, [node() | x], some_nodes(16385)]
        ]
    end).

bad_mfa() ->
    with_manager([], fun(N, _) ->
        [
            ?assertEqual({error, {badarg, {nodes_mfa, Bad}}}, reconfigure(N, [{nodes_mfa, Bad}]))
         || Bad <- [x, {m, f}, {m, f, x}, {m, f, 0}, {"m", f, []}, {m, f, [], x}, {m, 1, []}, {m, f, [a | b]}, {'', f, []}, {m, 'f\0', []}]
        ],
        Both = {nodes, [node()]},
        ?assertEqual({error, {badarg, Both}}, reconfigure(N, [{nodes_mfa, {m, f, []}}, Both])),
        [
            ?assertEqual({error, {badarg, Bad}}, reconfigure(N, [Bad]))
         || Bad <- [
                {refresh_ms, 0},
                {refresh_ms, -1},
                {refresh_ms, 1.5},
                {on_error, x},
                {no_such_key, 1},
                {notify, [{cast, x}]},
                {notify, x},
                {notify, [{call, 'm\0'}]},
                {notify, [{send, {'', node()}}]},
                {notify, [{send, {plain, B}} || B <- some_nodes(257)]},
                {attached, x},
                {detector, x},
                {detector, [{suspect_ms, 2000}, {down_ms, 1000}]},
                {health, x},
                x,
                {a, b, c}
            ]
        ],
        ?assertEqual({error, {badarg, x}}, reconfigure(N, x)),
        ?assertEqual({error, {badarg, {suspect_ms, 1}}}, reconfigure(N, [{detector, [{suspect_ms, 1}]}])),
        Probe = {probe, {call, ''}},
        ?assertEqual({error, {badarg, Probe}}, reconfigure(N, [{health, [Probe]}]))
    end).

bad_changes_nothing() ->
    with_beams([m_a], fun([{B, _}]) ->
        with_manager([{nodes, [B]}], fun(N, _) ->
            connected(N, B),
            Before = maps:get(source, ?MON:info(N)),
            _ = events(N),
            {error, _} = reconfigure(N, [{nodes, []}, {refresh_ms, x}]),
            {error, _} = reconfigure(N, [{notify, []}, {nodes, x}]),
            ?assertEqual(Before, maps:get(source, ?MON:info(N))),
            ?assertEqual([B], managed(N)),
            ?assertEqual([], events(N))
        end)
    end).

%% -------------------------------------------------------------------- nodes

unlisted() ->
    with_beams([m_a, m_b], fun([{A, _}, {B, _}]) ->
        with_manager([{nodes, [A]}], fun(N, _) ->
            true = rpc:call(B, net_kernel, connect_node, [N]),
            connected(N, A),
            connected(N, B),
            _ = ?MON:info(N),
            ?assertEqual([A], live()),
            ?assertEqual([A], managed(N))
        end)
    end).

unmanaged_events() ->
    with_beams([m_a], fun([{A, _}]) ->
        with_manager([{nodes, [A]}], fun(N, _) ->
            connected(N, A),
            _ = events(N),
            with_beams([m_b], fun([{B, _}]) ->
                true = rpc:call(B, net_kernel, connect_node, [N]),
                connected(N, B)
            end),
            tb_lib:until(fun() -> length(?MON:nodes(N)) =:= 2 end),
            ?assertEqual([], events(N)),
            ?assertEqual([A], live())
        end)
    end).

managed_up() ->
    A = beam_name(m_a),
    with_manager([{nodes, [A]}], fun(N, _) ->
        %% it is announced before it is there
        tb_lib:until_equal([A], fun live/0),
        with_beams([m_a], fun(_) -> connected(N, A) end),
        tb_lib:until_equal([], fun live/0),
        with_beams([m_a], fun(_) ->
            tb_lib:until_equal([A], fun live/0),
            ?assert(lists:member(A, ?MON:nodes(N)))
        end),
        tb_lib:until_equal([], fun live/0)
    end).

managed_down() ->
    with_beams([m_b], fun([{B, _}]) ->
        A = beam_name(m_a),
        with_manager([{nodes, [A, B]}], fun(N, _) ->
            with_beams([m_a], fun(_) ->
                connected(N, A),
                connected(N, B),
                tb_lib:until_equal(sorted([A, B]), fun live/0),
                _ = events(N)
            end),
            tb_lib:until_equal([B], fun live/0),
            ?assertEqual([{down, A}], events(N))
        end)
    end).

not_itself() ->
    N = beam_name(tb),
    with_manager([{nodes, [N, N]}], fun(Node, _) ->
        ?assertEqual(N, Node),
        _ = ?MON:info(N),
        ?assertEqual([], live()),
        ?assertEqual([], managed(N)),
        ok = reconfigure(N, [{nodes, [N]}]),
        ?assertEqual([], events(N))
    end).

%% Nothing is announced twice without a reason.
no_refresh() ->
    with_beams([m_a], fun([{A, _}]) ->
        with_manager([{nodes, [A]}, {refresh_ms, 100}], fun(N, _) ->
            connected(N, A),
            _ = events(N),
            #{tables := #{timers := Timers}} = tb_lib:info(N),
            receive
            after 500 -> ok
            end,
            ?assertEqual([], events(N)),
            tb_lib:until(fun() -> maps:get(timers, maps:get(tables, tb_lib:info(N))) =< Timers end)
        end)
    end).

%% A list as long as it may be: everybody is announced, once, and forgotten.
many_nodes() ->
    with_manager([{nodes, []}], fun(N, _) ->
        Nodes = sorted(some_nodes(2000)),
        ok = reconfigure(N, [{nodes, Nodes ++ [N, hd(Nodes)]}]),
        ?assertEqual([{up, X} || X <- Nodes], sorted(events(N))),
        ?assertEqual(Nodes, managed(N)),
        ok = reconfigure(N, [{nodes, [lists:last(Nodes)]}]),
        ?assertEqual([{down, X} || X <- lists:droplast(Nodes)], sorted(events(N))),
        ok = reconfigure(N, []),
        tb_lib:until(fun() -> map_size(maps:get(nodes, ?MON:info(N))) =:= 1 end)
    end).

%% Managed or not, its up and down alternate to those who ask for states.
hidden_one() ->
    Hidden = #{args => ["-hidden"]},
    with_manager([{nodes, []}, patient()], fun(N, _) ->
        ok = ?MON:monitor_states(N, true),
        H = tb_lib:with_beam(m_h, Hidden, fun(_, H) ->
            ok = tb_lib:call(N, {connect, H}),
            ok = reconfigure(N, [{nodes, [H]}]),
            ?assertEqual({up, managed}, next_state(H)),
            ?assertEqual([H], managed(N)),
            ok = reconfigure(N, [{nodes, []}]),
            H
        end),
        ?assertEqual({down, connection_closed}, next_state(H)),
        tb_lib:with_beam(m_h, Hidden, fun(_, _) ->
            ok = tb_lib:call(N, {connect, H}),
            _ = ?MON:info(N),
            ?assertEqual([], tb_lib:flush())
        end),
        ?assertEqual([{down, H}, {up, H}], sorted(lists:usort(events(N)))),
        ok = ?MON:monitor_states(N, false)
    end).

%% ---------------------------------------------------------------- nodes_mfa

mfa() ->
    {nodes_mfa, {?MODULE, given, []}}.

%% This VM is the first node in name order.
with_given(List, Options, Fun) ->
    ok = give(List),
    Refresh = [{refresh_ms, 200} || not lists:keymember(refresh_ms, 1, Options)],
    with_manager([mfa() | Refresh ++ Options], fun(N, Daemon) ->
        tb_lib:until(fun() -> error_of(N) =/= <<"no visible node is connected">> end),
        Fun(N, Daemon)
    end).

error_of(N) ->
    #{source := {nodes_mfa, {?MODULE, given, []}, #{error := Error}}} = ?MON:info(N),
    Error.

mfa_start() ->
    with_beams([m_a, m_b], fun([{A, _}, {B, _}]) ->
        with_given([A, B], [{refresh_ms, 60000}], fun(N, _) ->
            tb_lib:until_equal(sorted([A, B]), fun() -> managed(N) end),
            connected(N, A),
            connected(N, B),
            tb_lib:until_equal(sorted([A, B]), fun live/0)
        end)
    end).

mfa_adds() ->
    with_beams([m_a, m_b], fun([{A, _}, {B, _}]) ->
        with_given([A], [], fun(N, _) ->
            tb_lib:until_equal([A], fun live/0),
            ok = give([A, B]),
            tb_lib:until_equal(sorted([A, B]), fun live/0),
            connected(N, B)
        end)
    end).

mfa_removes() ->
    with_beams([m_a, m_b], fun([{A, _}, {B, _}]) ->
        with_given([A, B], [], fun(N, _) ->
            connected(N, A),
            connected(N, B),
            tb_lib:until_equal(sorted([A, B]), fun live/0),
            _ = events(N),
            ok = give([B]),
            tb_lib:until_equal([B], fun live/0),
            ?assertEqual([{down, A}], events(N)),
            %% it is no longer announced, but nobody disconnects it
            ?assert(lists:member(A, ?MON:nodes(N)))
        end)
    end).

ways_to_fail() ->
    [error, exit, throw, badarith, atom, integers, some, names, improper, map, many, noproc, killed].

some_nodes(N) ->
    [list_to_atom("m_" ++ integer_to_list(I) ++ "@" ++ tb_lib:host()) || I <- lists:seq(1, N)].

mfa_fails_empty() ->
    with_beams([m_a], fun([{A, _}]) ->
        with_given([A], [], fun(N, _) ->
            connected(N, A),
            [
                begin
                    ok = give([A]),
                    tb_lib:until_equal([A], fun live/0),
                    tb_lib:until_equal(<<>>, fun() -> error_of(N) end),
                    _ = events(N),
                    ok = give({odd, How}),
                    tb_lib:until_equal([], fun live/0),
                    ?assertEqual([{down, A}], events(N)),
                    ?assertNotEqual(<<>>, error_of(N)),
                    ?assertEqual([], managed(N))
                end
             || How <- ways_to_fail()
            ],
            ok = reconfigure(N, [{nodes_mfa, {no_such_module, f, []}}]),
            #{source := {nodes_mfa, _, #{error := Error}}} = ?MON:info(N),
            ?assertMatch({_, _}, binary:match(Error, <<"undef">>)),
            ?assertEqual([], managed(N))
        end)
    end).

mfa_fails_keep() ->
    with_beams([m_a], fun([{A, _}]) ->
        with_given([A], [{on_error, keep}], fun(N, Daemon) ->
            connected(N, A),
            [
                begin
                    ok = give([A]),
                    tb_lib:until_equal(<<>>, fun() -> error_of(N) end),
                    tb_lib:until_equal([A], fun live/0),
                    _ = events(N),
                    ok = give({odd, How}),
                    tb_lib:until(fun() -> error_of(N) =/= <<>> end),
                    ?assertEqual([], events(N)),
                    ?assertEqual([A], managed(N))
                end
             || How <- ways_to_fail()
            ],
            %% no answer at all, which takes five seconds
            ok = give([A]),
            tb_lib:until_equal(<<>>, fun() -> error_of(N) end),
            ok = give({odd, silent}),
            tb_lib:until_equal(<<"timeout">>, fun() -> error_of(N) end),
            ?assertEqual([A], managed(N)),
            %% each new way is one line of the log
            Lines = length(binary:matches(tb_lib:output(Daemon), <<"[monitor.nodes_mfa_failed]">>)),
            ?assert(Lines >= length(ways_to_fail())),
            ?assert(Lines =< 2 * length(ways_to_fail()))
        end)
    end).

%% a_mfa is before this node in name order.
mfa_node_dies() ->
    with_manager([{nodes, []}], fun(N, _) ->
        with_beams([a_mfa], fun([{A, Beam}]) ->
            true = rpc:call(A, net_kernel, connect_node, [N]),
            ok = rpc:call(A, ?MODULE, give, [{odd, silent}]),
            Request = gen_server:send_request(
                {node_monitor, N}, {reconfigure, [mfa(), {on_error, keep}, {refresh_ms, 200}]}
            ),
            tb_lib:until(fun() -> waiting(A, odd) =/= [] end),
            ok = give([N, A]),
            tb_lib:signal(Beam, "KILL"),
            ?assertEqual({reply, ok}, gen_server:receive_response(Request, 60000)),
            %% the next one is asked the next time
            tb_lib:until_equal([A], fun() -> managed(N) end)
        end)
    end).

%% The processes of that node that wait in that function.
waiting(A, Function) ->
    [P || P <- rpc:call(A, erlang, processes, []), is_inside(A, P, Function)].

is_inside(A, P, Function) ->
    case rpc:call(A, erlang, process_info, [P, current_function]) of
        {current_function, {?MODULE, Function, 1}} -> true;
        _ -> false
    end.

mfa_nobody() ->
    ok = give([node()]),
    Daemon = tb_lib:daemon(tb, config([mfa(), {refresh_ms, 60000}])),
    N = tb_lib:node_of(Daemon),
    try
        tb_lib:until(fun() ->
            binary:match(tb_lib:output(Daemon), <<"no visible node is connected">>) =/= nomatch
        end),
        %% the first one that comes is asked at once
        true = net_kernel:connect_node(N),
        tb_lib:until_equal([node()], fun() -> managed(N) end)
    after
        tb_lib:stop(Daemon)
    end.

mfa_first() ->
    with_given([], [], fun(N, _) ->
        with_beams([a_mfa], fun([{A, _}]) ->
            ok = rpc:call(A, ?MODULE, give, [[A]]),
            true = rpc:call(A, net_kernel, connect_node, [N]),
            tb_lib:until_equal([A], fun() -> managed(N) end)
        end),
        tb_lib:until_equal([], fun() -> managed(N) end)
    end).

%% This VM is before m_z in name order.
mfa_attached() ->
    Z = beam_name(m_z),
    with_given([], [{attached, Z}], fun(N, _) ->
        with_beams([m_z], fun(_) ->
            ok = rpc:call(Z, ?MODULE, give, [[Z]]),
            true = rpc:call(Z, net_kernel, connect_node, [N]),
            tb_lib:until_equal([Z], fun() -> managed(N) end)
        end),
        tb_lib:until_equal([], fun() -> managed(N) end)
    end).

%% Who is not there is dialled at ever longer intervals.
mfa_backoff() ->
    Absent = beam_name(m_absent),
    Asked = counters:new(1, []),
    persistent_term:put({?MODULE, asked}, Asked),
    with_given([Absent], [{refresh_ms, 100}], fun(N, _) ->
        tb_lib:until(fun() ->
            counters:get(Asked, 1) >= 25 andalso
                case ?MON:info(N) of
                    #{nodes := #{Absent := #{connection := {failed, Times, not_in_epmd}}}} when Times >= 3 ->
                        ?assert(Times =< counters:get(Asked, 1) div 2),
                        true;
                    _ ->
                        false
                end
        end)
    end),
    persistent_term:erase({?MODULE, asked}).

no_timer_left() ->
    with_given([], [{refresh_ms, 60000}, health_config({call, app})], fun(N, _) ->
        Again = fun() ->
            ok = reconfigure(N, [mfa(), {refresh_ms, 60000}, health_config({call, app})])
        end,
        Timers = fun() -> maps:get(timers, maps:get(tables, tb_lib:info(N))) end,
        Again(),
        Before = Timers(),
        [Again() || _ <- lists:seq(1, 50)],
        tb_lib:until(fun() -> Timers() =< Before end)
    end).

%% -------------------------------------------------------------- reconfigure

difference() ->
    with_beams([m_a, m_b, m_c], fun([{A, _}, {B, _}, {C, _}]) ->
        with_manager([{nodes, [A, B]}], fun(N, _) ->
            [connected(N, X) || X <- [A, B]],
            true = rpc:call(C, net_kernel, connect_node, [N]),
            connected(N, C),
            tb_lib:until_equal(sorted([A, B]), fun live/0),
            _ = events(N),
            ?assertEqual(ok, reconfigure(N, [{nodes, [B, C]}])),
            [First, Second | Again] = events(N),
            ?assertEqual([{up, C}, {down, A}], [First, Second]),
            ?assertEqual(sorted([{up, B}, {up, C}]), sorted(Again)),
            ?assertEqual(sorted([B, C]), managed(N)),
            %% the same once more heals what a manager has missed
            ok = gen_server:cast(manager, {node_down, B}),
            _ = events(N),
            ?assertEqual(ok, reconfigure(N, [{nodes, [B, C]}])),
            ?assertEqual(sorted([{up, B}, {up, C}]), sorted(events(N)))
        end)
    end).

all_and_back() ->
    with_beams([m_a, m_b], fun([{A, _}, {B, _}]) ->
        with_manager([], fun(N, _) ->
            [true = rpc:call(X, net_kernel, connect_node, [N]) || X <- [A, B]],
            tb_lib:until_equal(sorted([A, B]), fun live/0),
            _ = events(N),
            ok = reconfigure(N, [{nodes, [A]}]),
            %% the members are announced; of the others nothing is said
            ?assertEqual([{up, A}], lists:usort(events(N))),
            ok = reconfigure(N, []),
            ?assertEqual([], events(N)),
            ?assertEqual(sorted([node(), A, B]), managed(N))
        end)
    end).

%% a_mfa answers when there is another set already.
stale() ->
    with_beams([a_mfa, m_b], fun([{A, _}, {B, _}]) ->
        with_manager([], fun(N, _) ->
            true = rpc:call(A, net_kernel, connect_node, [N]),
            Gate = spawn(fun() -> receive after infinity -> ok end end),
            Slow = {nodes_mfa, {?MODULE, held, [Gate]}},
            Request = gen_server:send_request({node_monitor, N}, {reconfigure, [Slow]}),
            tb_lib:until(fun() -> waiting(A, held) =/= [] end),
            [Held] = waiting(A, held),
            ok = reconfigure(N, [{nodes, [B]}]),
            ?assertEqual({reply, {error, superseded}}, gen_server:receive_response(Request, 60000)),
            _ = events(N),
            exit(Gate, kill),
            tb_lib:until(fun() -> not tb_lib:alive(Held) end),
            %% behind its answer, on the same connection
            #{managed := [B]} = rpc:call(A, ?MON, info, [N]),
            ?assertEqual([], [E || {_, X} = E <- events(N), X =/= B])
        end)
    end).

superseded() ->
    with_beams([m_a], fun([{A, _}]) ->
        with_manager([], fun(N, _) ->
            ok = give([A]),
            Requests = [
                gen_server:send_request({node_monitor, N}, {reconfigure, [Source]})
             || Source <- [mfa(), mfa(), {nodes, [node()]}, mfa()]
            ],
            Replies = [gen_server:receive_response(R, 60000) || R <- Requests],
            ?assertEqual({reply, ok}, lists:last(Replies)),
            ?assertEqual({reply, ok}, lists:nth(3, Replies)),
            ?assertEqual([], [R || R <- Replies, R =/= {reply, ok}, R =/= {reply, {error, superseded}}]),
            tb_lib:until_equal([A], fun() -> managed(N) end)
        end)
    end).

%% One that does not answer delays no other.
dialling() ->
    with_beams([m_a, m_b, m_c], fun([{A, Stopped}, {B, _}, {C, _}]) ->
        tb_lib:signal(Stopped, "STOP"),
        Absent = beam_name(m_absent),
        try
            with_manager([{nodes, [A, Absent, B, C]}], fun(N, _) ->
                tb_lib:until(fun() -> lists:all(fun(X) -> lists:member(X, ?MON:nodes(N)) end, [B, C]) end),
                tb_lib:until(fun() ->
                    #{nodes := #{Absent := #{connection := How, type := Type}}} = ?MON:info(N),
                    case How of
                        {failed, Times, Why} when Times >= 2 ->
                            ?assertEqual({not_in_epmd, unknown}, {Why, Type}),
                            true;
                        _ ->
                            false
                    end
                end),
                with_beams([m_absent], fun(_) -> connected(N, Absent) end),
                tb_lib:signal(Stopped, "CONT"),
                connected(N, A)
            end)
        after
            tb_lib:signal(Stopped, "CONT")
        end
    end).

%% ------------------------------------------------------------------- notify

notify_cast() ->
    with_beams([m_a], fun([{A, _}]) ->
        {ok, Manager} = start_manager(manager),
        with_beams([m_keeper], fun([{K, _}]) ->
            {ok, _} = rpc:call(K, ?MODULE, start_manager, [manager]),
            %% both managers; the daemon connects to the second by itself
            Targets = [{cast, {manager, node()}}, {cast, {manager, K}}],
            Daemon = tb_lib:daemon(tb, config([{nodes, [A]}, {notify, Targets}])),
            N = tb_lib:node_of(Daemon),
            true = net_kernel:connect_node(N),
            Live = fun() -> gen_server:call({manager, K}, live, ?SLOW) -- [K] end,
            tb_lib:until_equal([A], Live),
            tb_lib:until_equal([A], fun live/0),
            %% lost and found again, it is told anew
            ok = gen_server:cast({manager, K}, {node_down, A}),
            true = rpc:call(K, erlang, disconnect_node, [N]),
            tb_lib:until_equal([A], Live),
            tb_lib:stop(Daemon)
        end),
        gen_server:stop(Manager)
    end).

notify_send() ->
    register(plain, self()),
    A = beam_name(m_a),
    with_manager([{nodes, [A]}], [{send, {plain, node()}}, {send, {nobody, node()}}], fun(N, _) ->
        ?assertEqual({node_up, A}, receive M1 -> M1 after ?SLOW -> none end),
        ok = reconfigure(N, [{nodes, []}]),
        ?assertEqual({node_down, A}, receive M2 -> M2 after ?SLOW -> none end),
        _ = ?MON:info(N),
        ?assertEqual([], tb_lib:flush())
    end),
    unregister(plain).

notify_call() ->
    with_beams([m_a, m_b], fun([{A, _}, {B, _}]) ->
        [{ok, _} = rpc:call(X, ?MODULE, start_manager, [called]) || X <- [A, B]],
        Live = fun(X) -> gen_server:call({called, X}, live, ?SLOW) -- [X] end,
        C = beam_name(m_c),
        with_manager([{nodes, [A, B, C]}], [{call, ?MODULE}], fun(N, _) ->
            %% each of the others, and not itself
            tb_lib:until_equal(sorted([B, C]), fun() -> Live(A) end),
            tb_lib:until_equal(sorted([A, C]), fun() -> Live(B) end),
            with_beams([m_c], fun(_) ->
                {ok, _} = rpc:call(C, ?MODULE, start_manager, [called]),
                %% the first connection may have come before the manager
                connected(N, C),
                tb_lib:until(fun() -> rpc:call(C, erlang, disconnect_node, [N]) end),
                connected(N, C),
                %% who comes later is told of all
                tb_lib:until_equal(sorted([A, B]), fun() -> Live(C) end)
            end),
            tb_lib:until_equal([B], fun() -> Live(A) end),
            tb_lib:until_equal([A], fun() -> Live(B) end),
            %% in order: the last word counts
            [ok = reconfigure(N, [{nodes, L}]) || _ <- lists:seq(1, 20), L <- [[A, B], [A, B, C]]],
            tb_lib:until_equal(sorted([B, C]), fun() -> Live(A) end),
            ok = reconfigure(N, [{nodes, [A, B]}]),
            tb_lib:until_equal([B], fun() -> Live(A) end),
            receive
            after 300 -> ok
            end,
            ?assertEqual([B], Live(A))
        end)
    end).

%% m_a has no process "called", where node_up/1 casts to nobody; m_b lacks the
%% module that is to be called.
notify_failing() ->
    with_beams([m_a], fun([{A, _}]) ->
        with_manager([{nodes, [A, node()]}], [{call, no_such_module}, {cast, {manager, node()}}], fun(N, Daemon) ->
            tb_lib:until(fun() ->
                binary:match(tb_lib:output(Daemon), <<"[monitor.notify_failed]">>) =/= nomatch
            end),
            tb_lib:until_equal([A], fun live/0),
            ?assertEqual(sorted([A, node()]), managed(N))
        end)
    end).

%% A call hangs; what came after it is not lost with the configuration.
notify_waiting() ->
    with_beams([m_a], fun([{A, _}]) ->
        {ok, _} = rpc:call(A, ?MODULE, start_manager, [called]),
        Live = fun() -> gen_server:call({called, A}, live, ?SLOW) -- [A] end,
        X = beam_name(m_x),
        Y = beam_name(m_y),
        with_manager([{nodes, [A, X]}], [{call, ?MODULE}], fun(N, _) ->
            tb_lib:until_equal([X], Live),
            Gate = spawn(fun() -> receive after infinity -> ok end end),
            ok = rpc:call(A, persistent_term, put, [{?MODULE, gate}, Gate]),
            ok = reconfigure(N, [{nodes, [A, X, Y]}]),
            tb_lib:until_equal(sorted([X, waiting]), Live),
            ok = reconfigure(N, [{nodes, [A, Y]}]),
            ok = reconfigure(N, [{nodes, [A, Y]}]),
            ?assertEqual(sorted([X, waiting]), Live()),
            exit(Gate, kill),
            tb_lib:until_equal([Y], Live)
        end)
    end).

notify_new_target() ->
    Target = {notify, [{cast, {manager, node()}}]},
    Absent = beam_name(m_absent),
    with_beams([m_a], fun([{A, _}]) ->
        with_manager([], [], fun(N, _) ->
            true = rpc:call(A, net_kernel, connect_node, [N]),
            connected(N, A),
            ?assertEqual([], events(N)),
            ok = reconfigure(N, [Target]),
            ?assertEqual(sorted([{up, node()}, {up, A}]), sorted(events(N))),
            %% the same one again is no new one
            ok = reconfigure(N, [Target]),
            ?assertEqual([], events(N)),
            ok = reconfigure(N, [{nodes, [A, Absent]}, {notify, []}]),
            ?assertEqual([], events(N)),
            ok = reconfigure(N, [{nodes, [A, Absent]}, Target]),
            ?assertEqual(sorted([{up, A}, {up, Absent}]), lists:usort(events(N)))
        end)
    end).

%% ------------------------------------------------------------------- health

health_config(Probe) ->
    {health, [{probe, Probe}, {interval_ms, 200}, {timeout_ms, 1000}]}.

%% A machine that stands still for a second makes a probe late, and the node
%% degraded for a moment: what is expected comes in any case.
until_state(Node, Expected) ->
    case next_state(Node) of
        Expected -> ok;
        none -> error({expected, Expected, got, nothing});
        _ -> until_state(Node, Expected)
    end.

no_states(N) ->
    ok = ?MON:monitor_states(N, false),
    _ = tb_lib:flush(),
    ok.

next_state(Node) ->
    receive
        {node_state, Node, State, Info} -> {State, maps:get(reason, Info)}
    after ?SLOW -> none
    end.

health() ->
    with_beams([m_a], fun([{A, _}]) ->
        {ok, _} = rpc:call(A, ?MODULE, start_manager, [app]),
        with_manager([{nodes, [A]}, patient(), health_config({call, app})], fun(N, _) ->
            connected(N, A),
            ok = ?MON:monitor_states(N, true),
            %% it is stuck, and the node is well
            Gate = spawn(fun() -> receive after infinity -> ok end end),
            Stuck = gen_server:send_request({app, A}, {hold, Gate}),
            until_state(A, {degraded, timeout}),
            ?assert(lists:member(A, ?MON:nodes(N))),
            exit(Gate, kill),
            until_state(A, {up, answers}),
            {reply, held} = gen_server:receive_response(Stuck, ?SLOW),
            ok = gen_server:stop({app, A}),
            until_state(A, {degraded, noproc}),
            tb_lib:until_equal({degraded, noproc}, fun() ->
                #{nodes := #{A := #{state := State, health := Health}}} = ?MON:info(N),
                {State, Health}
            end),
            %% off, and on again
            ok = reconfigure(N, [{nodes, [A]}, {health, off}]),
            until_state(A, {up, answers}),
            ok = reconfigure(N, [{nodes, [A]}, health_config({call, app})]),
            until_state(A, {degraded, noproc}),
            ok = reconfigure(N, [{nodes, [A]}, health_config({call, kernel_sup})]),
            until_state(A, {up, answers}),
            no_states(N)
        end)
    end).

health_request() ->
    with_beams([m_a], fun([{A, _}]) ->
        {ok, _} = rpc:call(A, ?MODULE, start_manager, [app]),
        with_manager([{nodes, [A]}, patient(), health_config({call, app, ping})], fun(N, _) ->
            connected(N, A),
            ok = ?MON:monitor_states(N, true),
            ok = rpc:call(A, sys, suspend, [app]),
            until_state(A, {degraded, timeout}),
            ok = rpc:call(A, sys, resume, [app]),
            until_state(A, {up, answers}),
            no_states(N)
        end)
    end).

%% ------------------------------------------------------------ the daemon's

sighup() ->
    with_beams([m_a, m_b], fun([{A, _}, {B, _}]) ->
        with_manager([{nodes, [A]}], fun(N, Daemon) ->
            connected(N, A),
            _ = events(N),
            Notify = {notify, [{cast, {manager, node()}}]},
            rewrite([{nodes, [A, B]}, Notify]),
            tb_lib:signal(Daemon, "HUP"),
            tb_lib:until_equal(sorted([A, B]), fun() -> managed(N) end),
            connected(N, B),
            tb_lib:until_equal(sorted([A, B]), fun live/0),
            %% a wrong one changes nothing
            rewrite([{nodes, [x]}, Notify]),
            tb_lib:signal(Daemon, "HUP"),
            tb_lib:until(fun() ->
                binary:match(tb_lib:output(Daemon), <<"node_monitor.nodes: expected">>) =/= nomatch
            end),
            ?assertEqual(sorted([A, B]), managed(N)),
            %% a restart of the service finds the last good one
            Old = tb_lib:pid_of(N, node_monitor),
            exit(Old, kill),
            tb_lib:until(fun() -> not lists:member(tb_lib:pid_of(N, node_monitor), [Old, undefined]) end),
            ?assertEqual(sorted([A, B]), managed(N)),
            %% an absent section is the default
            rewrite([]),
            tb_lib:signal(Daemon, "HUP"),
            tb_lib:until(fun() -> maps:get(source, ?MON:info(N)) =:= all end)
        end)
    end).

rewrite(Monitor) ->
    #{config := Config} = config(Monitor),
    ok = file:write_file(tb_lib:tmp("tb.config"), io_lib:format("~tp.~n", [Config])).

restarted() ->
    with_beams([m_a], fun([{A, _}]) ->
        with_manager([{nodes, [A]}], fun(N, _) ->
            connected(N, A),
            Old = tb_lib:pid_of(N, node_monitor),
            exit(Old, kill),
            tb_lib:until(fun() -> not lists:member(tb_lib:pid_of(N, node_monitor), [Old, undefined]) end),
            ?assertMatch(#{managed := [A], nodes := #{A := #{state := up}}}, ?MON:info(N)),
            true = tb_lib:call(N, {disconnect, A}),
            connected(N, A)
        end)
    end).
