%% tb_outgoing_tests - what a C node does to BEAM processes: calls, monitors,
%% links, exits, messages. The node is test/interop/probe.c, which knows nothing
%% but tiebeam.h; and the example, which is built as a user would build it.
-module(tb_outgoing_tests).

-include_lib("eunit/include/eunit.hrl").

-export([init/1, handle_call/3, handle_cast/2]).
-export([leader/0, storm/2]).

-behaviour(gen_server).

%% ------------------------------------------------------------------ server

-spec init(term()) -> {ok, []}.
init(_) -> {ok, []}.

-spec handle_call(term(), gen_server:from(), []) -> term().
handle_call({echo, Term}, _, S) -> {reply, Term, S};
handle_call({sleep, Ms}, _, S) -> receive after Ms -> {reply, slept, S} end;
handle_call({exit, Reason}, _, S) -> {stop, Reason, S};
handle_call(later, From, S) ->
    _ = spawn(fun() -> gen_server:reply(From, from_another_process) end),
    {noreply, S}.

-spec handle_cast(term(), []) -> {noreply, []}.
handle_cast(_, S) -> {noreply, S}.

server() ->
    {ok, Pid} = gen_server:start(?MODULE, [], []),
    Pid.

%% ----------------------------------------------------------------- fixture

all_test_() ->
    {setup, fun begin_all/0, fun end_all/1, fun({_, Probe, _}) ->
        [
            {timeout, 60, {Title, fun() -> run(Test, Probe) end}}
         || {Title, Test} <- tb_lib:chosen([{atom_to_list(Name), Test} || {Name, Test} <- tests()])
        ]
    end}.

begin_all() ->
    Epmd = tb_lib:join(outgoing),
    Name = tb_lib:name(probe) ++ "@" ++ tb_lib:host(),
    Bin = filename:absname(os:getenv("PROBE_BIN", "build/release/test/interop/probe")),
    Program = tb_lib:start(Bin, [Name, tb_lib:cookie()]),
    tb_lib:until(fun() -> binary:match(tb_lib:output(Program), <<"ready ok">>) =/= nomatch end),
    {Epmd, list_to_atom(Name), Program}.

end_all({Epmd, Node, Program}) ->
    gen_server:cast({probe, Node}, stop),
    ?assertEqual(0, tb_lib:wait_exit(Program)),
    tb_lib:leave(Epmd).

run(Test, Node) ->
    _ = tb_lib:flush(),
    Before = tables(Node),
    _ = ask(Node, seen),
    Test(Node),
    %% nothing that a test made may outlast it
    tb_lib:until_equal(Before, fun() -> tables(Node) end).

tables(Node) ->
    maps:with([monitors, links, calls, timers, processes], maps:get(tables, ask(Node, info))).

ask(Node, Request) ->
    gen_server:call({probe, Node}, Request, 60000).

%% All that the probe has been sent, once it has come to as much.
seen(Node, N) ->
    seen(Node, N, []).

seen(_, N, Seen) when length(Seen) >= N ->
    Seen;
seen(Node, N, Seen) ->
    tb_lib:until(fun() -> put(seen, ask(Node, seen)) =/= never end),
    seen(Node, N, Seen ++ get(seen)).

tests() ->
    [
        {call, fun call/1},
        {call_by_name, fun call_by_name/1},
        {call_answered_by_another_process, fun call_later/1},
        {call_noproc, fun call_noproc/1},
        {call_times_out_and_late_reply_is_dropped, fun call_timeout/1},
        {call_server_ends, fun call_exit/1},
        {call_no_such_node, fun call_no_node/1},
        {call_connection_lost, fun call_disconnect/1},
        {call_given_up_while_dialling, fun call_given_up/1},
        {link_taken_back_while_dialling, fun link_taken_back/1},
        {many_calls_at_once, fun many_calls/1},
        {erpc_value, fun erpc_value/1},
        {erpc_classes, fun erpc_classes/1},
        {erpc_timeout, fun erpc_timeout/1},
        {erpc_here, fun erpc_here/1},
        {erpc_no_such_node, fun erpc_no_node/1},
        {erpc_output_goes_to_the_peers_user, fun erpc_output/1},
        {monitor_pid, fun monitor_pid/1},
        {monitor_name, fun monitor_name/1},
        {monitor_noproc, fun monitor_noproc/1},
        {demonitor, fun demonitor_it/1},
        {monitor_noconnection, fun monitor_noconnection/1},
        {link_exit_to_us, fun link_to_us/1},
        {link_dead, fun link_dead/1},
        {link_our_end_reaches_them, fun link_our_end/1},
        {unlink, fun unlink_it/1},
        {unlink_then_exit_races, fun unlink_races/1},
        {exit_signals, fun exit_signals/1},
        {send, fun send/1},
        {timers, fun timers/1},
        {node_events, fun node_events/1},
        {nodeup_is_the_first_and_nodedown_the_last, fun node_events_frame/1},
        {node_monitor_in_a_c_program, fun node_monitor/1},
        {probe_an_emulator, fun probe/1},
        {sys_requests, fun sys_requests/1},
        {peer_info_and_disconnect_for, fun peer_info/1},
        {crash_is_error_and_restart, fun crash/1},
        {example, fun example/1}
    ].

%% ------------------------------------------------------------------- calls

call(Node) ->
    Pid = server(),
    ?assertEqual({ok, #{a => [1]}}, ask(Node, {call, Pid, {echo, #{a => [1]}}, 5000})),
    gen_server:stop(Pid).

call_by_name(Node) ->
    Pid = server(),
    register(outgoing_server, Pid),
    ?assertEqual({ok, x}, ask(Node, {call, {outgoing_server, node()}, {echo, x}, 5000})),
    gen_server:stop(Pid).

call_later(Node) ->
    Pid = server(),
    ?assertEqual({ok, from_another_process}, ask(Node, {call, Pid, later, 5000})),
    gen_server:stop(Pid).

call_noproc(Node) ->
    Pid = server(),
    gen_server:stop(Pid),
    ?assertEqual({noproc, noproc}, ask(Node, {call, Pid, x, 5000})),
    ?assertEqual({noproc, noproc}, ask(Node, {call, {no_such_name, node()}, x, 5000})).

call_timeout(Node) ->
    Pid = server(),
    ?assertEqual({timeout, timeout}, ask(Node, {call, Pid, {sleep, 300}, 50})),
    %% the server's reply comes before this one's
    ?assertEqual({ok, done}, ask(Node, {call, Pid, {echo, done}, 5000})),
    ?assertEqual([], ask(Node, seen)),
    gen_server:stop(Pid).

call_exit(Node) ->
    ?assertEqual({exit, oops}, ask(Node, {call, quiet_server(), {exit, oops}, 5000})).

%% A server that ends without a report in the test's output.
quiet_server() ->
    spawn(fun() ->
        receive
            {'$gen_call', _, {exit, Reason}} -> exit(Reason)
        end
    end).

call_no_node(Node) ->
    Nowhere = list_to_atom("nowhere@" ++ tb_lib:host()),
    ?assertEqual({noconnection, noconnection}, ask(Node, {call, {x, Nowhere}, x, 5000})).

call_disconnect(Node) ->
    Beam = tb_lib:beam(list_to_atom(tb_lib:name(gone))),
    BeamNode = tb_lib:node_of(Beam),
    Sleeper = rpc:call(BeamNode, erlang, spawn, [timer, sleep, [infinity]]),
    Request = gen_server:send_request({probe, Node}, {call, Sleeper, x, 20000}),
    tb_lib:until(fun() -> maps:is_key(BeamNode, maps:get(nodes, ask(Node, info))) end),
    tb_lib:end_beam(Beam),
    ?assertEqual({reply, {noconnection, noconnection}}, gen_server:receive_response(Request, 60000)).

%% What takes a signal back comes behind it, also where both had to wait for
%% the connection.
with_stranger(Node, Test) ->
    Beam = tb_lib:beam(list_to_atom(tb_lib:name(stranger))),
    BeamNode = tb_lib:node_of(Beam),
    Pid = rpc:call(BeamNode, erlang, spawn, [timer, sleep, [infinity]]),
    true = rpc:call(BeamNode, erlang, register, [outgoing_stranger, Pid]),
    Test(BeamNode, Pid),
    {ok, BeamNode} = ask(Node, {connect, BeamNode}),
    {ok, BeamNode} = ask(Node, {erpc, BeamNode, erlang, node, [], 5000}),
    ?assertEqual(
        [{monitored_by, []}, {links, []}],
        rpc:call(BeamNode, erlang, process_info, [Pid, [monitored_by, links]])
    ),
    tb_lib:end_beam(Beam).

call_given_up(Node) ->
    with_stranger(Node, fun(BeamNode, _) ->
        Call = {call, {outgoing_stranger, BeamNode}, x, 0},
        ?assertEqual({timeout, timeout}, ask(Node, Call))
    end).

link_taken_back(Node) ->
    with_stranger(Node, fun(_, Pid) ->
        R1 = gen_server:send_request({probe, Node}, {link, Pid}),
        R2 = gen_server:send_request({probe, Node}, {unlink, Pid}),
        [?assertEqual({reply, ok}, gen_server:receive_response(R, 60000)) || R <- [R1, R2]]
    end).

many_calls(Node) ->
    Pid = server(),
    Requests = [
        {N, gen_server:send_request({probe, Node}, {call, Pid, {echo, N}, 10000})}
     || N <- lists:seq(1, 500)
    ],
    [?assertEqual({reply, {ok, N}}, gen_server:receive_response(R, 60000)) || {N, R} <- Requests],
    gen_server:stop(Pid).

%% -------------------------------------------------------------------- erpc

erpc(Node, M, F, A) ->
    ask(Node, {erpc, node(), M, F, A, 5000}).

erpc_value(Node) ->
    ?assertEqual({ok, [1, 2, 3]}, erpc(Node, lists, seq, [1, 3])),
    ?assertEqual({ok, node()}, erpc(Node, erlang, node, [])).

erpc_classes(Node) ->
    ?assertEqual({exit, {throw, t}}, erpc(Node, erlang, throw, [t])),
    ?assertEqual({exit, {exit, e}}, erpc(Node, erlang, exit, [e])),
    ?assertMatch({exit, {error, r, [_ | _]}}, erpc(Node, erlang, error, [r])),
    ?assertMatch({exit, {error, undef, [{no_such_module, f, [], _} | _]}}, erpc(Node, no_such_module, f, [])),
    ?assertMatch({exit, {error, badarith, _}}, erpc(Node, erlang, 'div', [1, 0])).

erpc_timeout(Node) ->
    ?assertEqual({timeout, timeout}, ask(Node, {erpc, node(), timer, sleep, [1000], 50})).

%% The probe exports nothing: undef, by way of its own worker.
erpc_here(Node) ->
    ?assertEqual(
        {exit, {error, undef, [{lists, seq, [1, 3], []}]}},
        ask(Node, {erpc, Node, lists, seq, [1, 3], 5000})
    ).

erpc_no_node(Node) ->
    Nowhere = list_to_atom("nowhere@" ++ tb_lib:host()),
    ?assertEqual({noconnection, noconnection}, ask(Node, {erpc, Nowhere, m, f, [], 5000})).

%% Were a pid of the C node its group leader, this would hang.
erpc_output(Node) ->
    ?assertEqual({ok, ok}, erpc(Node, io, format, [""])),
    ?assertMatch({ok, {init, N}} when N =:= node(), erpc(Node, ?MODULE, leader, [])).

-spec leader() -> {atom(), node()}.
leader() ->
    Leader = group_leader(),
    {element(2, process_info(Leader, registered_name)), node(Leader)}.

%% ---------------------------------------------------------------- monitors

monitor_pid(Node) ->
    Pid = spawn(fun() -> receive Reason -> exit(Reason) end end),
    Ref = ask(Node, {monitor, Pid}),
    Pid ! reason,
    ?assertEqual([{'DOWN', Ref, process, Pid, reason}], seen(Node, 1)).

monitor_name(Node) ->
    Pid = spawn(fun() -> receive Reason -> exit(Reason) end end),
    register(outgoing_name, Pid),
    Ref = ask(Node, {monitor, {outgoing_name, node()}}),
    Pid ! normal,
    ?assertEqual([{'DOWN', Ref, process, {outgoing_name, node()}, normal}], seen(Node, 1)).

monitor_noproc(Node) ->
    {Pid, M} = spawn_monitor(fun() -> ok end),
    receive {'DOWN', M, _, _, _} -> ok end,
    Ref = ask(Node, {monitor, Pid}),
    ?assertEqual([{'DOWN', Ref, process, Pid, noproc}], seen(Node, 1)).

demonitor_it(Node) ->
    Pid = spawn(fun() -> receive Reason -> exit(Reason) end end),
    Ref = ask(Node, {monitor, Pid}),
    ?assertEqual(true, ask(Node, {demonitor, Ref})),
    ?assertEqual(false, ask(Node, {demonitor, Ref})),
    tb_lib:until_equal({monitored_by, []}, fun() -> process_info(Pid, monitored_by) end),
    exit(Pid, kill),
    ?assertEqual([], ask(Node, seen)).

monitor_noconnection(Node) ->
    Beam = tb_lib:beam(list_to_atom(tb_lib:name(lost))),
    Pid = rpc:call(tb_lib:node_of(Beam), erlang, spawn, [timer, sleep, [infinity]]),
    ok = ask(Node, {link, Pid}),
    Ref = ask(Node, {monitor, Pid}),
    tb_lib:until(fun() -> maps:is_key(tb_lib:node_of(Beam), maps:get(nodes, ask(Node, info))) end),
    tb_lib:end_beam(Beam),
    ?assertEqual(
        [{'EXIT', Pid, noconnection}, {'DOWN', Ref, process, Pid, noconnection}],
        lists:sort(seen(Node, 2))
    ).

%% ------------------------------------------------------------------- links

link_to_us(Node) ->
    Pid = spawn(fun() -> receive Reason -> exit(Reason) end end),
    ok = ask(Node, {link, Pid}),
    tb_lib:until(fun() -> element(2, process_info(Pid, links)) =/= [] end),
    Pid ! reason,
    ?assertEqual([{'EXIT', Pid, reason}], seen(Node, 1)).

link_dead(Node) ->
    {Pid, M} = spawn_monitor(fun() -> ok end),
    receive {'DOWN', M, _, _, _} -> ok end,
    ok = ask(Node, {link, Pid}),
    ?assertEqual([{'EXIT', Pid, noproc}], seen(Node, 1)).

link_our_end(Node) ->
    Self = self(),
    Pid = spawn(fun() ->
        process_flag(trap_exit, true),
        receive {'EXIT', From, Why} -> Self ! {ended, From, Why} end
    end),
    ok = ask(Node, {link, Pid}),
    tb_lib:until(fun() -> element(2, process_info(Pid, links)) =/= [] end),
    [Probe] = element(2, process_info(Pid, links)),
    exit(Probe, kill),
    receive {ended, From, Why} -> ?assertEqual({Probe, killed}, {From, Why}) end,
    tb_lib:until(fun() -> ask_again(Node) end).

%% The probe is started again: then it answers.
ask_again(Node) ->
    try ask(Node, seen) of _ -> true
    catch exit:_ -> false
    end.

unlink_it(Node) ->
    Pid = spawn(fun() -> receive Reason -> exit(Reason) end end),
    ok = ask(Node, {link, Pid}),
    tb_lib:until(fun() -> element(2, process_info(Pid, links)) =/= [] end),
    ok = ask(Node, {unlink, Pid}),
    tb_lib:until_equal({links, []}, fun() -> process_info(Pid, links) end),
    exit(Pid, kill),
    ?assertEqual([], ask(Node, seen)).

%% Whatever the order in which unlink and exit meet on the wire, an exit after
%% unlink/1 has returned is never seen.
unlink_races(Node) ->
    [
        begin
            Pid = spawn(fun() -> receive Reason -> exit(Reason) end end),
            ok = ask(Node, {link, Pid}),
            R = gen_server:send_request({probe, Node}, {unlink, Pid}),
            Pid ! oops,
            {reply, ok} = gen_server:receive_response(R, 60000),
            _ = ask(Node, seen),
            {ok, node} = {element(1, erpc(Node, erlang, node, [])), node},
            ?assertEqual([], ask(Node, seen))
        end
     || _ <- lists:seq(1, 200)
    ].

exit_signals(Node) ->
    {A, MA} = spawn_monitor(fun() -> timer:sleep(infinity) end),
    ok = ask(Node, {exit, A, kill}),
    receive {'DOWN', MA, _, _, WhyA} -> ?assertEqual(killed, WhyA) end,
    {B, MB} = spawn_monitor(fun() -> timer:sleep(infinity) end),
    ok = ask(Node, {exit, B, {shutdown, [1]}}),
    receive {'DOWN', MB, _, _, WhyB} -> ?assertEqual({shutdown, [1]}, WhyB) end.

%% ---------------------------------------------------------------- messages

send(Node) ->
    ok = ask(Node, {send, self(), {hello, 1}}),
    receive M1 -> ?assertEqual({hello, 1}, M1) end,
    register(outgoing_receiver, self()),
    ok = ask(Node, {send, {outgoing_receiver, node()}, {hello, 2}}),
    receive M2 -> ?assertEqual({hello, 2}, M2) end,
    unregister(outgoing_receiver),
    ok = ask(Node, {send, {no_such_name, node()}, {hello, 3}}).

timers(Node) ->
    Ref = ask(Node, {send_after, 60000, never}),
    _ = ask(Node, {send_after, 20, soon}),
    ?assertEqual([soon], seen(Node, 1)),
    ?assertEqual(true, ask(Node, {cancel_timer, Ref})),
    ?assertEqual(false, ask(Node, {cancel_timer, Ref})).

node_events(Node) ->
    ok = ask(Node, {monitor_nodes, true}),
    Beam = tb_lib:beam(list_to_atom(tb_lib:name(event))),
    BeamNode = tb_lib:node_of(Beam),
    ?assertEqual({ok, BeamNode}, ask(Node, {connect, BeamNode})),
    tb_lib:end_beam(Beam),
    [
        {nodeup, BeamNode, #{connection_id := Id, node_type := visible}},
        {nodedown, BeamNode, #{
            connection_id := Id, node_type := visible, nodedown_reason := connection_closed
        }}
    ] = seen(Node, 2),
    ok = ask(Node, {monitor_nodes, false}),
    ?assertEqual({not_in_epmd, not_in_epmd}, ask(Node, {connect, BeamNode})).

%% All that a node sends during a connection comes between its nodeup and its
%% nodedown, however fast they follow each other.
node_events_frame(Node) ->
    ok = ask(Node, {monitor_nodes, true}),
    Beam = tb_lib:beam(list_to_atom(tb_lib:name(storm))),
    BeamNode = tb_lib:node_of(Beam),
    ok = rpc:call(BeamNode, ?MODULE, storm, [Node, 100]),
    tb_lib:end_beam(Beam),
    tb_lib:until(fun() -> ask(Node, {peer_info, BeamNode}) =:= undefined end),
    ok = ask(Node, {monitor_nodes, false}),
    Seen = [E || E <- ask(Node, seen), element(1, E) =:= m orelse element(2, E) =:= BeamNode],
    ?assert(length([up || {nodeup, _, _} <- Seen]) >= 50),
    ?assert(length([m || {m, _} <- Seen]) >= 100),
    ?assertEqual([], framed(Seen)).

%% What is left where a message stands outside.
framed([{nodeup, Node, #{connection_id := Id}} | Rest]) ->
    case lists:dropwhile(fun(E) -> element(1, E) =:= m end, Rest) of
        [{nodedown, Node, #{connection_id := Id}} | Next] -> framed(Next);
        Other -> Other
    end;
framed(Rest) ->
    Rest.

%% Every other connection certainly comes up, and ends amid messages.
-spec storm(node(), non_neg_integer()) -> ok.
storm(_, 0) ->
    ok;
storm(Node, Rounds) ->
    _ = [{probe, Node} ! {m, Rounds} || _ <- lists:seq(1, 50)],
    Rounds rem 2 =:= 0 andalso gen_server:call({probe, Node}, {peer_info, node()}),
    _ = [{probe, Node} ! {m, Rounds} || _ <- lists:seq(1, 50)],
    _ = erlang:disconnect_node(Node),
    storm(Node, Rounds - 1).

%% A process of the C program subscribes as one of a BEAM does.
node_monitor(Node) ->
    Us = {node_monitor, Node},
    Subscribe = {monitor_nodes, true, [{node_type, all}, nodedown_reason]},
    ?assertEqual({ok, ok}, ask(Node, {call, Us, Subscribe, 5000})),
    ?assertEqual({ok, ok}, ask(Node, {call, Us, {monitor_states, true}, 5000})),
    Beam = tb_lib:beam(list_to_atom(tb_lib:name(event))),
    BeamNode = tb_lib:node_of(Beam),
    ?assertEqual({ok, BeamNode}, ask(Node, {connect, BeamNode})),
    ?assertEqual({ok, true}, ask(Node, {call, Us, {monitor_node, BeamNode, true}, 5000})),
    tb_lib:end_beam(Beam),
    Seen = seen(Node, 5),
    ?assertMatch(
        [
            {nodedown, BeamNode},
            {nodedown, BeamNode, [{nodedown_reason, connection_closed}, {node_type, visible}]},
            {nodeup, BeamNode, [{node_type, visible}]}
        ],
        lists:sort([M || M <- Seen, element(1, M) =/= node_state])
    ),
    ?assertMatch(
        [{_, _, up, #{from := down}}, {_, _, down, #{from := up, reason := connection_closed}}],
        [M || {node_state, N, _, _} = M <- Seen, N =:= BeamNode]
    ),
    Unsubscribe = setelement(2, Subscribe, false),
    ?assertEqual({ok, ok}, ask(Node, {call, Us, Unsubscribe, 5000})),
    ?assertEqual({ok, ok}, ask(Node, {call, Us, {monitor_states, false}, 5000})).

%% It needs no process there: every one that could answer is suspended.
probe(Node) ->
    ?assertEqual({ok, noproc}, ask(Node, {probe, node()})),
    Beam = tb_lib:beam(list_to_atom(tb_lib:name(probed))),
    BeamNode = tb_lib:node_of(Beam),
    ?assertEqual({noconnection, noconnection}, ask(Node, {probe, BeamNode})),
    {ok, BeamNode} = ask(Node, {connect, BeamNode}),
    [{ok, noproc} = ask(Node, {probe, BeamNode}) || _ <- lists:seq(1, 50)],
    ok = rpc:call(BeamNode, sys, suspend, [net_kernel]),
    ?assertEqual({ok, noproc}, ask(Node, {probe, BeamNode})),
    tb_lib:signal(Beam, "STOP"),
    Request = gen_server:send_request({probe, Node}, {probe, BeamNode}),
    timeout = gen_server:wait_response(Request, 300),
    tb_lib:signal(Beam, "KILL"),
    ?assertEqual({reply, {noconnection, noconnection}}, gen_server:receive_response(Request, 60000)),
    tb_lib:end_beam(Beam).

sys_requests(Node) ->
    ?assertMatch({ok, {ok, _}}, ask(Node, {sys, {kernel_sup, node()}, {debug, {statistics, get}}, 5000})),
    ?assertMatch({ok, {status, _, _, _}}, ask(Node, {sys, {kernel_sup, node()}, get_status, 5000})),
    ?assertEqual({noproc, noproc}, ask(Node, {sys, {nobody, node()}, get_status, 5000})),
    Pid = server(),
    register(outgoing_sys, Pid),
    Caller = spawn(fun() -> gen_server:call(Pid, {sleep, 500}) end),
    tb_lib:until(fun() -> element(2, process_info(Pid, current_function)) =/= {gen_server, loop, 7} end),
    ?assertEqual({timeout, timeout}, ask(Node, {sys, {outgoing_sys, node()}, get_status, 100})),
    tb_lib:until(fun() -> not is_process_alive(Caller) end),
    gen_server:stop(Pid).

peer_info(Node) ->
    ?assertEqual(undefined, ask(Node, {peer_info, 'nobody@nowhere'})),
    Info = ask(Node, {peer_info, node()}),
    ?assertMatch(#{visible := true, answers_probes := true, silence_ms := S} when S < 1000, Info),
    #{bytes_in := In, bytes_out := Out} = Info,
    _ = ask(Node, info),
    #{bytes_in := In2, bytes_out := Out2} = ask(Node, {peer_info, node()}),
    ?assert(In2 > In),
    ?assert(Out2 > Out),
    %% a peer that knows no spawn requests is no emulator
    Raw = tb_raw:connect(Node, list_to_atom(tb_lib:name(old) ++ "@" ++ tb_lib:host()), #{
        flags => tb_raw:flags() band bnot (1 bsl 32)
    }),
    Old = list_to_atom(tb_lib:name(old) ++ "@" ++ tb_lib:host()),
    ?assertMatch(#{visible := false, answers_probes := false}, ask(Node, {peer_info, Old})),
    ?assertEqual(true, ask(Node, {disconnect_for, Old})),
    ?assertEqual(closed, tb_raw:recv(Raw)),
    ?assertEqual(false, ask(Node, {disconnect_for, Old})).

crash(Node) ->
    Ref = monitor(process, {probe, Node}),
    ?assertExit({{error, badarg}, _}, ask(Node, crash)),
    receive {'DOWN', Ref, process, Who, Why} ->
        ?assertEqual({{probe, Node}, {error, badarg}}, {Who, Why})
    end,
    tb_lib:until(fun() -> ask_again(Node) end).

%% ----------------------------------------------------------------- example

example(_) ->
    Name = tb_lib:name(echo) ++ "@" ++ tb_lib:host(),
    Node = list_to_atom(Name),
    Bin = filename:absname(os:getenv("ECHO_BIN", "build/release/examples/echo")),
    Program = tb_lib:start(Bin, [Name, tb_lib:cookie()]),
    tb_lib:until(fun() -> pong =:= net_adm:ping(Node) end),
    ?assertEqual({ok, [hello, 42], 1}, gen_server:call({echo, Node}, {echo, [hello, 42]})),
    ?assertEqual({ok, again, 2}, gen_server:call({echo, Node}, {echo, again})),
    ?assertEqual(#{served => 2}, sys:get_state({echo, Node})),
    gen_server:cast({echo, Node}, stop),
    ?assertEqual(0, tb_lib:wait_exit(Program)).
