%% tb_table_tests - every way in which a BEAM node talks to a daemon, row by
%% row: ping, calls, monitors, links, exits, spawns, rpc, erpc, sys, terms.
%% Where a second BEAM answers the same request, both answers are compared.
%% Nothing here is newer than OTP 23, since older releases run it too.
-module(tb_table_tests).
-include_lib("eunit/include/eunit.hrl").

-export([probe/0, fail/1]).

-define(TIMEOUT, 300).

%% One daemon and one second BEAM for all tests that leave them as they are.
-spec shared_test_() -> tuple().
shared_test_() ->
    {setup, fun setup/0, fun cleanup/1, fun({_, Daemon, Beam}) ->
        N = tb_lib:node_of(Daemon),
        B = tb_lib:node_of(Beam),
        [{timeout, ?TIMEOUT, {Title, fun() -> clean(Case, N, B) end}} || {Title, Case} <- tb_lib:chosen(cases())]
    end}.

%% A daemon for each test that ends services.
-spec own_test_() -> tuple().
own_test_() ->
    {setup, fun setup/0, fun cleanup/1, fun({_, _, Beam}) ->
        B = tb_lib:node_of(Beam),
        [{timeout, ?TIMEOUT, {Title, fun() -> with_own(Case, B) end}} || {Title, Case} <- tb_lib:chosen(own_cases())]
    end}.

setup() ->
    Epmd = tb_lib:join(table),
    {Epmd, tb_lib:daemon(daemon_name(), quiet()), tb_lib:beam(list_to_atom(tb_lib:name(second)))}.

cleanup({Epmd, Daemon, Beam}) ->
    tb_lib:stop(Daemon),
    tb_lib:end_beam(Beam),
    tb_lib:leave(Epmd).

%% What is counted and compared here is what the tests cause.
quiet() ->
    #{config => [{tiebeam, [{discovery, []} | tb_lib:quiet()]}]}.

daemon_name() ->
    list_to_atom(tb_lib:name(tb)).

%% A test begins and ends with an empty mailbox.
clean(Case, N, B) ->
    [] = tb_lib:flush(),
    Case(N, B),
    ?assertEqual([], tb_lib:flush()).

with_own(Case, B) ->
    Daemon = tb_lib:daemon(own, quiet()),
    try
        clean(Case, tb_lib:node_of(Daemon), B)
    after
        tb_lib:stop(Daemon)
    end.

cases() ->
    [
        {"net_adm:ping", fun ping/2},
        {"net_kernel:connect_node", fun connect_node/2},
        {"nodes(hidden)", fun nodes_lists/2},
        {"net_adm:names", fun names/2},
        {"gen_server:call by name and by pid", fun calls/2},
        {"gen_server:call of what is not there exits noproc", fun call_noproc/2},
        {"gen_server:call unknown is answered", fun call_unknown/2},
        {"gen_server:cast known, unknown, to nobody", fun casts/2},
        {"gen_server:multi_call", fun multi_calls/2},
        {"gen_server:send_request", fun send_requests/2},
        {"100 requests at once, each answer to its own", fun many_requests/2},
        {"64 callers, 200 calls each", fun many_callers/2},
        {"monitor of nobody: noproc, with the name", fun monitor_noproc/2},
        {"monitor of a spawned process: normal", fun monitor_normal/2},
        {"monitor of a spawned process: the reason of exit/2", fun monitor_reason/2},
        {"demonitor, flush, info", fun demonitors/2},
        {"link and unlink", fun links/2},
        {"a linked process ends, the service stays", fun linked_ends/2},
        {"link to a dead pid: EXIT noproc", fun link_dead/2},
        {"link to a spawned process: EXIT with its reason", fun link_spawned/2},
        {"exit(Pid, Reason) is a message to a service", fun exit_survived/2},
        {"pids of an earlier incarnation", fun earlier_incarnation/2},
        {"spawn, spawn_link, spawn_monitor, spawn_opt", fun spawns/2},
        {"spawn of what is not exported: undef", fun spawn_undef/2},
        {"spawn_request: reply, reply_tag, link, monitor", fun spawn_requests/2},
        {"spawn_request: the replies that are not wanted", fun spawn_no_replies/2},
        {"spawn of a fun: undef", fun spawn_fun/2},
        {"rpc:call, block_call, async_call", fun rpc_calls/2},
        {"rpc:multicall", fun rpc_multicalls/2},
        {"rpc:cast, abcast, sbcast", fun rpc_casts/2},
        {"rex as a gen_server", fun rex_calls/2},
        {"erpc:call", fun erpc_calls/2},
        {"erpc:send_request", fun erpc_requests/2},
        {"erpc:multicall, cast, multicast", fun erpc_multicalls/2},
        {"undef as a BEAM says it", fun undefs/2},
        {"badarg for bad arguments", fun badargs/2},
        {"functions of erlang", fun erlang_functions/2},
        {"functions of tiebeam", fun tiebeam_functions/2},
        {"sys:get_state, get_status", fun sys_states/2},
        {"sys:get_state of one who does not say how old he is", fun sys_unanswered/2},
        {"sys:get_state of one who cannot spawn", fun sys_without_spawn/2},
        {"sys:suspend: a call waits for resume", fun sys_suspend/2},
        {"sys:suspend: 100,000 messages wait", fun sys_suspend_long/2},
        {"sys:statistics", fun sys_statistics/2},
        {"sys:log", fun sys_log/2},
        {"sys: what is not known, replace_state, change_code", fun sys_others/2},
        {"gen_server:stop of nobody", fun stop_noproc/2},
        {"supervisor:which_children, count_children", fun supervisor_requests/2},
        {"a late reply never comes", fun late_replies/2},
        {"io_request is answered {error,request}", fun io_requests/2},
        {"a group leader of ours does not hang", fun group_leaders/2},
        {"terms: integers and floats", fun echo_numbers/2},
        {"terms: atoms", fun echo_atoms/2},
        {"terms: binaries and bitstrings", fun echo_binaries/2},
        {"terms: atoms that are told once", fun echo_many_atoms/2},
        {"terms: lists, tuples, maps", fun echo_containers/2},
        {"terms: funs, pids, ports, references", fun echo_identifiers/2},
        {"terms: 100,000 levels", fun echo_deep/2},
        {"terms: 16 MiB", fun echo_large/2},
        {"sequential trace tokens", fun trace_tokens/2},
        {"signals to what never was", fun odd_signals/2},
        {"control messages that nobody knows", fun odd_control/2},
        {"frames that break the protocol", fun odd_frames/2},
        {"tables are back to what they were", fun tables_back/2}
    ].

own_cases() ->
    [
        {"exit(Pid, kill) is obeyed, and the service comes back", fun exit_kill/2},
        {"link to a service that is killed", fun link_killed/2},
        {"sys:terminate", fun sys_terminate/2},
        {"gen_server:stop with reasons", fun stop_reasons/2},
        {"a service that is killed again and again", fun kill_often/2},
        {"monitor_node, disconnect", fun monitor_nodes/2},
        {"a call meets the end of the connection", fun call_disconnected/2},
        {"a transient service stays gone", fun transient_service/2}
    ].

%% ------------------------------------------------------------- connections

ping(N, _) ->
    ?assertEqual(pong, net_adm:ping(N)),
    ?assertEqual(pang, net_adm:ping(absent())).

absent() ->
    list_to_atom("absent@" ++ tb_lib:host()).

connect_node(N, _) ->
    ?assertEqual(true, net_kernel:connect_node(N)),
    true = erlang:disconnect_node(N),
    ?assertEqual(true, net_kernel:connect_node(N)).

nodes_lists(N, _) ->
    pong = net_adm:ping(N),
    ?assert(lists:member(N, nodes(hidden))),
    ?assert(lists:member(N, nodes(connected))),
    ?assert(lists:member(N, nodes(known))),
    ?assertNot(lists:member(N, nodes())),
    ?assertNot(lists:member(N, nodes(visible))),
    {ok, Info} = net_kernel:node_info(N),
    ?assertEqual(hidden, proplists:get_value(type, Info)),
    ?assertEqual(up, proplists:get_value(state, Info)),
    case erlang:function_exported(erlang, nodes, 2) of
        true ->
            Infos = apply(erlang, nodes, [hidden, #{node_type => true, connection_id => true}]),
            ?assertMatch({N, #{node_type := hidden}}, lists:keyfind(N, 1, Infos));
        false ->
            ok
    end.

names(N, _) ->
    [Alive, _] = string:split(atom_to_list(N), "@"),
    case tb_variant:has_epmd() of
        true -> listed(N, Alive);
        false -> ?assertEqual({error, address}, net_adm:names())
    end.

listed(N, Alive) ->
    {ok, Names} = net_adm:names(tb_variant:epmd_host()),
    ?assertEqual({Alive, maps:get(port, tb_lib:info(N))}, lists:keyfind(Alive, 1, Names)).

%% ------------------------------------------------------------------- calls

calls(N, _) ->
    ?assertEqual(yes, gen_server:call({net_kernel, N}, {is_auth, node()})),
    ?assertMatch(#{name := N}, gen_server:call({tiebeam, N}, info)),
    ?assertEqual(x, gen_server:call({tiebeam, N}, {echo, x}, infinity)),
    Pid = tb_lib:pid_of(N, tiebeam),
    ?assertEqual(N, node(Pid)),
    ?assertEqual(y, gen_server:call(Pid, {echo, y})),
    ?assert(lists:member(node(), gen_server:call(Pid, nodes))).

call_noproc(N, B) ->
    same(N, B, fun(Node) -> gen_server:call({nobody, Node}, x) end),
    same(N, B, fun(Node) -> gen_server:call({nobody, Node}, x, 1000) end),
    Expected = {exit, {noproc, {gen_server, call, [{nobody, N}, x]}}},
    ?assertEqual(Expected, tb_lib:outcome(fun() -> gen_server:call({nobody, N}, x) end)),
    Dead = dead(N),
    ?assertEqual(
        {exit, {noproc, {gen_server, call, [Dead, x]}}},
        tb_lib:outcome(fun() -> gen_server:call(Dead, x) end)
    ).

%% A pid whose process has ended.
dead(N) ->
    {Pid, Ref} = spawn_monitor(N, erlang, node, []),
    receive
        {'DOWN', Ref, process, Pid, normal} -> Pid
    end.

call_unknown(N, _) ->
    [
        ?assertEqual({error, unknown_call}, gen_server:call({Name, N}, Request))
     || Name <- [tiebeam, rex, net_kernel, tiebeam_sup], Request <- [what, {a, [b]}, "c", #{d => 1}]
    ].

casts(N, _) ->
    [
        ?assertEqual(ok, gen_server:cast(To, Message))
     || To <- [{tiebeam, N}, {rex, N}, {nobody, N}, dead(N)], Message <- [x, {discover_nodes}, [1]]
    ],
    {nobody, N} ! hello,
    dead(N) ! hello,
    {tiebeam, N} ! {a, "plain", message},
    ?assertEqual(abcast, gen_server:abcast([N], tiebeam, x)),
    ?assertEqual(z, tb_lib:call(N, {echo, z})).

multi_calls(N, B) ->
    ?assertEqual({[{N, x}], []}, gen_server:multi_call([N], tiebeam, {echo, x})),
    ?assertEqual({[], [N]}, gen_server:multi_call([N], nobody, x)),
    {Replies, Bad} = gen_server:multi_call([N, B, absent()], net_kernel, {is_auth, node()}, 5000),
    ?assertEqual([{N, yes}, {B, yes}], lists:sort(fun(X, _) -> element(1, X) =:= N end, Replies)),
    ?assertEqual([absent()], Bad).

send_requests(N, B) ->
    ?assertEqual({reply, x}, wait(gen_server:send_request({tiebeam, N}, {echo, x}))),
    Pid = tb_lib:pid_of(N, tiebeam),
    ?assertEqual({reply, y}, wait(gen_server:send_request(Pid, {echo, y}))),
    same(N, B, fun(Node) -> wait(gen_server:send_request({nobody, Node}, x)) end).

wait(Request) ->
    case erlang:function_exported(gen_server, receive_response, 2) of
        true -> apply(gen_server, receive_response, [Request, 5000]);
        false -> gen_server:wait_response(Request, 60000)
    end.

many_requests(N, _) ->
    Requests = [{I, gen_server:send_request({tiebeam, N}, {echo, I})} || I <- lists:seq(1, 100)],
    [?assertEqual({reply, I}, wait(R)) || {I, R} <- lists:reverse(Requests)].

many_callers(N, _) ->
    Callers = [spawn_monitor(fun() -> call_often(N, C, 200) end) || C <- lists:seq(1, 64)],
    [
        receive
            {'DOWN', Ref, process, Pid, Reason} -> ?assertEqual(normal, Reason)
        end
     || {Pid, Ref} <- Callers
    ].

call_often(_, _, 0) ->
    [] = tb_lib:flush();
call_often(N, C, Left) ->
    {C, Left} = tb_lib:call(N, {echo, {C, Left}}),
    call_often(N, C, Left - 1).

%% ---------------------------------------------------------------- monitors

monitor_noproc(N, B) ->
    same(N, B, fun(Node) -> down(monitor(process, {nobody, Node})) end),
    ?assertEqual({process, {nobody, N}, noproc}, down(monitor(process, {nobody, N}))),
    Dead = dead(N),
    ?assertEqual({process, Dead, noproc}, down(monitor(process, Dead))).

down(Ref) ->
    receive
        {'DOWN', Ref, Type, Object, Reason} -> {Type, Object, Reason}
    after 60000 -> error({no_down, tb_lib:mailbox()})
    end.

monitor_normal(N, _) ->
    {Pid, Ref} = spawn_monitor(N, tiebeam, echo, [x]),
    ?assertEqual({process, Pid, normal}, down(Ref)).

%% While rex is suspended a process spawned to ask it stays.
held(N, Fun) ->
    ok = sys:suspend({rex, N}),
    try
        Fun(fun() -> spawn(N, erlang, node, []) end)
    after
        ok = sys:resume({rex, N})
    end.

monitor_reason(N, B) ->
    Reasons = [kill, shutdown, {shutdown, x}, "a reason", {1.5, self(), #{}}],
    held(N, fun(Spawn) ->
        [
            begin
                Pid = Spawn(),
                ?assertEqual(true, tb_lib_alive(Pid)),
                Refs = [monitor(process, Pid) || _ <- [1, 2, 3]],
                exit(Pid, Reason),
                [?assertEqual({process, Pid, killed_by(Reason)}, down(R)) || R <- Refs]
            end
         || Reason <- Reasons
        ],
        %% an exit signal normal from another process is no reason to end
        Pid = Spawn(),
        exit(Pid, normal),
        ?assertEqual(true, tb_lib_alive(Pid)),
        exit(Pid, done),
        ?assertMatch({process, Pid, _}, down(monitor(process, Pid)))
    end),
    [
        begin
            Pid = spawn(B, timer, sleep, [infinity]),
            Ref = monitor(process, Pid),
            exit(Pid, Reason),
            ?assertEqual({process, Pid, killed_by(Reason)}, down(Ref))
        end
     || Reason <- Reasons
    ].

killed_by(kill) -> killed;
killed_by(Reason) -> Reason.

%% rex is suspended, so another service is asked.
tb_lib_alive(Pid) ->
    Ref = monitor(process, Pid),
    x = tb_lib:call(node(Pid), {echo, x}),
    demonitor(Ref),
    receive
        {'DOWN', Ref, process, Pid, _} -> false
    after 0 -> true
    end.

demonitors(N, _) ->
    Ref = monitor(process, {tiebeam, N}),
    ?assertEqual(true, demonitor(Ref)),
    ?assertEqual(true, demonitor(Ref)),
    ?assertEqual(true, demonitor(monitor(process, {tiebeam, N}), [info])),
    Gone = monitor(process, {nobody, N}),
    tb_lib:until(fun() -> tb_lib:mailbox() =/= [] end),
    ?assertEqual(false, demonitor(Gone, [info, flush])),
    %% many of one process, taken back in another order
    Refs = [monitor(process, {rex, N}) || _ <- lists:seq(1, 200)],
    [true = demonitor(R, [flush, info]) || R <- lists:reverse(Refs)],
    x = tb_lib:call(N, {echo, x}).

monitor_nodes(N, _) ->
    pong = net_adm:ping(N),
    true = erlang:monitor_node(N, true),
    Ref = monitor(process, {tiebeam, N}),
    Pid = tb_lib:pid_of(N, rex),
    PidRef = monitor(process, Pid),
    true = erlang:disconnect_node(N),
    ?assertEqual({process, {tiebeam, N}, noconnection}, down(Ref)),
    ?assertEqual({process, Pid, noconnection}, down(PidRef)),
    ?assertEqual({nodedown, N}, one_message()),
    pong = net_adm:ping(N),
    true = erlang:monitor_node(N, true),
    true = erlang:monitor_node(N, false),
    true = erlang:disconnect_node(N),
    pong = net_adm:ping(N),
    true = erlang:monitor_node(absent(), true),
    ?assertEqual({nodedown, absent()}, one_message()).

one_message() ->
    receive
        Message -> Message
    after 60000 -> error(no_message)
    end.

%% A request that is still waited for when the connection goes.
call_disconnected(N, _) ->
    ok = sys:suspend({tiebeam, N}),
    Request = gen_server:send_request({tiebeam, N}, {echo, x}),
    Self = self(),
    Caller = spawn(fun() ->
        Self ! {self(), tb_lib:outcome(fun() -> gen_server:call({tiebeam, N}, {echo, x}) end)}
    end),
    tb_lib:until(fun() -> process_info(Caller, status) =:= {status, waiting} end),
    yes = gen_server:call({net_kernel, N}, {is_auth, node()}),
    true = erlang:disconnect_node(N),
    ?assertEqual({error, {noconnection, {tiebeam, N}}}, wait(Request)),
    receive
        {Caller, Outcome} ->
            ?assertEqual({exit, {{nodedown, N}, {gen_server, call, [{tiebeam, N}, {echo, x}]}}}, Outcome)
    end,
    ok = sys:resume({tiebeam, N}),
    ?assertEqual(y, tb_lib:call(N, {echo, y})),
    %% a caller without an alias gets the answer all the same
    _ = [receive {{'$gen_request_id', _}, x} -> ok end || tb_lib:otp() < 24],
    ok.

%% ------------------------------------------------------------------- links

trapping(Fun) ->
    Old = process_flag(trap_exit, true),
    try
        Fun()
    after
        process_flag(trap_exit, Old)
    end.

exit_of(Pid) ->
    receive
        {'EXIT', Pid, Reason} -> Reason
    after 60000 -> error({no_exit, tb_lib:mailbox()})
    end.

links(N, _) ->
    Pid = tb_lib:pid_of(N, tiebeam),
    trapping(fun() ->
        [
            begin
                true = link(Pid),
                true = link(Pid),
                true = unlink(Pid),
                true = unlink(Pid)
            end
         || _ <- lists:seq(1, 100)
        ],
        x = tb_lib:call(N, {echo, x}),
        true = link(Pid),
        true = erlang:disconnect_node(N),
        ?assertEqual(noconnection, exit_of(Pid)),
        ?assertEqual(Pid, tb_lib:pid_of(N, tiebeam))
    end).

linked_ends(N, _) ->
    Pid = tb_lib:pid_of(N, tiebeam),
    Base = maps:get(links, tb_lib:tables(N)),
    [
        begin
            {Linked, Ref} = spawn_monitor(fun() ->
                link(Pid),
                exit(Reason)
            end),
            ?assertEqual({process, Linked, killed_by(Reason)}, down(Ref))
        end
     || Reason <- [normal, shutdown, boom, {a, [b]}]
    ],
    tb_lib:until_equal(Base, fun() -> maps:get(links, tb_lib:tables(N)) end),
    ?assertEqual(Pid, tb_lib:pid_of(N, tiebeam)).

link_dead(N, _) ->
    Dead = dead(N),
    trapping(fun() ->
        true = link(Dead),
        ?assertEqual(noproc, exit_of(Dead))
    end).

link_spawned(N, _) ->
    held(N, fun(Spawn) ->
        trapping(fun() ->
            Pid = Spawn(),
            true = link(Pid),
            true = tb_lib_alive(Pid),
            exit(Pid, {some, reason}),
            ?assertEqual({some, reason}, exit_of(Pid)),
            %% the other way round: it is not trapping, so it ends with us
            Other = Spawn(),
            Ref = monitor(process, Other),
            Linked = spawn(fun() ->
                link(Other),
                exit(boom)
            end),
            ?assertEqual({process, Other, boom}, down(Ref)),
            ?assertNot(is_process_alive(Linked)),
            %% a linked process that ends normally takes nobody along
            Third = Spawn(),
            {Normal, NormalRef} = spawn_monitor(fun() -> link(Third) end),
            ?assertEqual({process, Normal, normal}, down(NormalRef)),
            ?assertEqual(true, tb_lib_alive(Third)),
            exit(Third, kill)
        end)
    end).

exit_survived(N, _) ->
    [
        begin
            Pid = tb_lib:pid_of(N, Name),
            [exit(Pid, Reason) || Reason <- [shutdown, normal, boom, {shutdown, x}, "what"]],
            ?assertEqual(Pid, tb_lib:pid_of(N, Name))
        end
     || Name <- [tiebeam, rex, net_kernel]
    ],
    x = tb_lib:call(N, {echo, x}).

exit_kill(N, _) ->
    Pid = tb_lib:pid_of(N, tiebeam),
    ByName = monitor(process, {tiebeam, N}),
    ByPid = monitor(process, Pid),
    exit(Pid, kill),
    ?assertEqual({process, {tiebeam, N}, killed}, down(ByName)),
    ?assertEqual({process, Pid, killed}, down(ByPid)),
    is_back(N, tiebeam, Pid),
    ?assertEqual(false, tb_lib:alive(Pid)),
    ?assertEqual({process, Pid, noproc}, down(monitor(process, Pid))).

is_back(N, Name, Old) ->
    tb_lib:until(fun() ->
        Pid = tb_lib:pid_of(N, Name),
        is_pid(Pid) andalso Pid =/= Old
    end).

link_killed(N, _) ->
    Pid = tb_lib:pid_of(N, net_kernel),
    trapping(fun() ->
        true = link(Pid),
        exit(Pid, kill),
        ?assertEqual(killed, exit_of(Pid))
    end),
    is_back(N, net_kernel, Pid),
    ?assertEqual(pong, net_adm:ping(N)).

%% More often than the intensity allows: it pauses, and then comes back.
kill_often(N, _) ->
    [
        begin
            Pid = tb_lib:pid_of(N, net_kernel),
            exit(Pid, kill),
            is_back(N, net_kernel, Pid)
        end
     || _ <- lists:seq(1, 4)
    ],
    ?assertEqual(pong, net_adm:ping(N)).

earlier_incarnation(N, _) ->
    Creation = maps:get(creation, tb_lib:info(N)),
    <<131, Tag, _/binary>> = term_to_binary(tb_lib:pid_of(N, tiebeam)),
    ?assertEqual(88, Tag),
    [
        begin
            Old = tb_raw:pid(N, Other, Id),
            ?assertEqual({process, Old, noproc}, down(monitor(process, Old))),
            Old ! {'$gen_cast', x},
            exit(Old, kill),
            trapping(fun() ->
                true = link(Old),
                ?assertEqual(noproc, exit_of(Old))
            end)
        end
     || Other <- [Creation - 1, Creation + 1, 16#7FFFFFFF], Id <- [1, 2, 3]
    ],
    ?assertEqual(x, tb_lib:call(N, {echo, x})).

%% ------------------------------------------------------------------ spawns

spawns(N, _) ->
    Pid = spawn(N, tiebeam, echo, [x]),
    ?assertEqual(N, node(Pid)),
    trapping(fun() ->
        Linked = spawn_link(N, tiebeam, echo, [x]),
        ?assertEqual(normal, exit_of(Linked))
    end),
    {Monitored, Ref} = spawn_monitor(N, tiebeam, echo, [x]),
    ?assertEqual({process, Monitored, normal}, down(Ref)),
    Options = [monitor, {priority, high}, {min_heap_size, 1000}, {fullsweep_after, 5}],
    {Opt, OptRef} = spawn_opt(N, tiebeam, echo, [x], Options),
    ?assertEqual({process, Opt, normal}, down(OptRef)),
    trapping(fun() ->
        {Both, BothRef} = spawn_opt(N, tiebeam, echo, [x], [link, monitor]),
        ?assertEqual({process, Both, normal}, down(BothRef)),
        ?assertEqual(normal, exit_of(Both))
    end).

spawn_undef(N, B) ->
    ToCheck = [{nomod, nofun, [1, a]}, {erlang, nofun, []}, {lists, seq, []}],
    [
        begin
            {P1, R1} = spawn_monitor(N, M, F, A),
            ?assertEqual({process, P1, {undef, [{M, F, A, []}]}}, down(R1)),
            {P2, R2} = spawn_monitor(B, M, F, A),
            ?assertMatch({process, P2, {undef, [{M, F, A, []} | _]}}, down(R2))
        end
     || {M, F, A} <- ToCheck
    ],
    trapping(fun() ->
        Pid = spawn_link(N, nomod, nofun, []),
        ?assertEqual({undef, [{nomod, nofun, [], []}]}, exit_of(Pid))
    end),
    %% unlinked and unwatched: nothing comes
    _ = spawn(N, nomod, nofun, []),
    x = tb_lib:call(N, {echo, x}).

spawn_requests(N, B) ->
    [
        begin
            R1 = spawn_request(Node, erlang, node, [], []),
            ?assertMatch({spawn_reply, R1, ok, _}, one_message()),
            R2 = spawn_request(Node, erlang, node, [], [{reply_tag, {my, tag}}]),
            ?assertMatch({{my, tag}, R2, ok, _}, one_message()),
            R3 = spawn_request(Node, erlang, node, [], [monitor]),
            {spawn_reply, R3, ok, P3} = one_message(),
            ?assertEqual({'DOWN', R3, process, P3, normal}, one_message()),
            R4 = spawn_request(Node, nomod, nofun, [1], [monitor, {reply_tag, t}]),
            {t, R4, ok, P4} = one_message(),
            ?assertMatch({'DOWN', R4, process, P4, {undef, [{nomod, nofun, [1], []} | _]}}, one_message()),
            trapping(fun() ->
                R5 = spawn_request(Node, erlang, node, [], [link]),
                {spawn_reply, R5, ok, P5} = one_message(),
                ?assertEqual({'EXIT', P5, normal}, one_message()),
                R6 = spawn_request(Node, erlang, node, [], [link, monitor]),
                {spawn_reply, R6, ok, P6} = one_message(),
                ?assertEqual(
                    lists:sort([{'EXIT', P6, normal}, {'DOWN', R6, process, P6, normal}]),
                    lists:sort([one_message(), one_message()])
                ),
                R7 = spawn_request(Node, nomod, nofun, [], [link]),
                {spawn_reply, R7, ok, P7} = one_message(),
                ?assertMatch({'EXIT', P7, {undef, _}}, one_message())
            end)
        end
     || Node <- [N, B]
    ],
    %% a request whose node is not there
    R8 = spawn_request(absent(), erlang, node, [], []),
    ?assertEqual({spawn_reply, R8, error, noconnection}, one_message()).

spawn_no_replies(N, B) ->
    [
        begin
            R1 = spawn_request(Node, erlang, node, [], [monitor, {reply, no}]),
            ?assertMatch({'DOWN', R1, process, _, normal}, one_message()),
            R2 = spawn_request(Node, erlang, node, [], [monitor, {reply, error_only}]),
            ?assertMatch({'DOWN', R2, process, _, normal}, one_message()),
            R3 = spawn_request(Node, erlang, node, [], [monitor, {reply, success_only}]),
            ?assertMatch({spawn_reply, R3, ok, _}, one_message()),
            ?assertMatch({'DOWN', R3, process, _, normal}, one_message()),
            _ = spawn_request(Node, erlang, node, [], [{reply, no}]),
            R4 = spawn_request(Node, erlang, node, [], [monitor]),
            case spawn_request_abandon(R4) of
                true -> ok;
                false -> [_ | _] = tb_lib:flush()
            end,
            _ = rpc:call(Node, erlang, node, [])
        end
     || Node <- [N, B]
    ],
    tb_lib:until(fun() -> tb_lib:flush() =:= [] end).

spawn_fun(N, _) ->
    Fun = fun() -> ok end,
    {Pid, Ref} = spawn_monitor(N, Fun),
    ?assertEqual({process, Pid, {undef, [{erlang, apply, [Fun, []], []}]}}, down(Ref)).

%% --------------------------------------------------------------- rpc, erpc

rpc_calls(N, B) ->
    ?assertEqual({x, [1]}, rpc:call(N, tiebeam, echo, [{x, [1]}])),
    ?assertEqual(N, rpc:call(N, erlang, node, [], 5000)),
    ?assertEqual(N, rpc:block_call(N, erlang, node, [])),
    Key = rpc:async_call(N, tiebeam, echo, [x]),
    ?assertEqual(x, rpc:yield(Key)),
    Keys = [rpc:async_call(N, tiebeam, echo, [I]) || I <- lists:seq(1, 50)],
    ?assertEqual({value, 1}, rpc:nb_yield(hd(Keys), 5000)),
    ?assertEqual(lists:seq(2, 50), [rpc:yield(K) || K <- tl(Keys)]),
    ?assertEqual({badrpc, nodedown}, rpc:call(absent(), erlang, node, [])),
    ?assertMatch(
        {badrpc, {'EXIT', {undef, [{erlang, apply, _, _} | _]}}},
        rpc:call(N, erlang, apply, [fun() -> ok end, []])
    ),
    same(N, B, fun(Node) -> rpc:call(Node, nomod, nofun, [1, 2]) end),
    ok = sys:suspend({tiebeam, N}),
    ?assertEqual({badrpc, timeout}, rpc:call(N, tiebeam, echo, [x], 50)),
    ok = sys:resume({tiebeam, N}),
    ?assertEqual(y, rpc:call(N, tiebeam, echo, [y])).

rpc_multicalls(N, B) ->
    ?assertEqual({[N, B], []}, rpc:multicall([N, B], erlang, node, [])),
    ?assertEqual({[N], [absent()]}, rpc:multicall([N, absent()], erlang, node, [])),
    {[Bad], []} = rpc:multicall([N], nomod, nofun, []),
    ?assertMatch({badrpc, {'EXIT', {undef, [{nomod, nofun, [], []}]}}}, Bad),
    ?assertEqual({[x], []}, rpc:multicall([N], tiebeam, echo, [x], 5000)).

rpc_casts(N, _) ->
    ?assertEqual(true, rpc:cast(N, tiebeam, echo, [x])),
    ?assertEqual(true, rpc:cast(N, nomod, nofun, [])),
    ?assertEqual(abcast, rpc:abcast([N], tiebeam, hello)),
    ?assertEqual(abcast, rpc:abcast([N], nobody, hello)),
    ?assertEqual({[N], []}, rpc:sbcast([N], tiebeam, hello)),
    ?assertEqual({[], [N]}, rpc:sbcast([N], nobody, hello)),
    ?assertEqual(x, tb_lib:call(N, {echo, x})).

rex_calls(N, B) ->
    GL = group_leader(),
    ?assertEqual(N, gen_server:call({rex, N}, {call, erlang, node, [], GL})),
    ?assertEqual(N, gen_server:call({rex, N}, {block_call, erlang, node, [], user})),
    gen_server:cast({rex, N}, {cast, erlang, node, [], GL}),
    [
        begin
            {badrpc, {'EXIT', {undef, Ours}}} = gen_server:call({rex, N}, Request),
            {badrpc, {'EXIT', {undef, Theirs}}} = gen_server:call({rex, B}, Request),
            ?assertEqual(hd(Theirs), hd(Ours))
        end
     || Request <- [{call, nomod, nofun, [1], GL}, {block_call, nomod, nofun, [1], GL}]
    ].

erpc_calls(N, B) ->
    ?assertEqual(x, erpc:call(N, tiebeam, echo, [x])),
    ?assertEqual(N, erpc:call(N, erlang, node, [], 5000)),
    same(N, B, fun(Node) -> erpc:call(Node, nomod, nofun, [1]) end),
    same(N, B, fun(Node) -> erpc:call(Node, erlang, node, [], -1) end),
    same(N, B, fun(Node) -> erpc:call(Node, erlang, node, not_a_list) end),
    ?assertError({erpc, noconnection}, erpc:call(absent(), erlang, node, [])),
    ?assertError({exception, undef, [{erlang, apply, [_, []], []}]}, erpc:call(N, fun() -> ok end)),
    ok = sys:suspend({tiebeam, N}),
    ?assertError({erpc, timeout}, erpc:call(N, tiebeam, echo, [x], 50)),
    ok = sys:resume({tiebeam, N}),
    ?assertEqual(y, erpc:call(N, tiebeam, echo, [y])).

erpc_requests(N, B) ->
    R1 = erpc:send_request(N, tiebeam, echo, [x]),
    ?assertEqual(x, erpc:receive_response(R1)),
    R2 = erpc:send_request(N, tiebeam, echo, [y]),
    ?assertEqual({response, y}, erpc:wait_response(R2, 60000)),
    R3 = erpc:send_request(N, tiebeam, echo, [z]),
    ?assertEqual({response, z}, erpc:check_response(one_message(), R3)),
    same(N, B, fun(Node) -> erpc:receive_response(erpc:send_request(Node, nomod, nofun, [])) end),
    ok = sys:suspend({tiebeam, N}),
    R4 = erpc:send_request(N, tiebeam, echo, [late]),
    ?assertEqual(no_response, erpc:wait_response(R4, 50)),
    ok = sys:resume({tiebeam, N}),
    ?assertEqual(late, erpc:receive_response(R4)).

erpc_multicalls(N, B) ->
    ?assertEqual([{ok, N}, {ok, B}], erpc:multicall([N, B], erlang, node, [])),
    ?assertMatch(
        [{ok, N}, {error, {erpc, noconnection}}],
        erpc:multicall([N, absent()], erlang, node, [])
    ),
    [Ours, Theirs] = erpc:multicall([N, B], nomod, nofun, [x]),
    ?assertEqual(Theirs, Ours),
    ?assertEqual(ok, erpc:cast(N, tiebeam, echo, [x])),
    ?assertEqual(ok, erpc:cast(N, nomod, nofun, [])),
    ?assertEqual(ok, erpc:multicast([N, B], erlang, node, [])),
    ?assertEqual(x, tb_lib:call(N, {echo, x})).

%% The same request to a daemon and to a BEAM, in each of its forms.
undefs(N, B) ->
    [
        begin
            same(N, B, fun(Node) -> rpc:call(Node, M, F, A) end),
            same(N, B, fun(Node) -> erpc:call(Node, M, F, A) end)
        end
     || {M, F, A} <- [
            {nomod, nofun, []},
            {nomod, nofun, [1, "two", {3}]},
            {erlang, nofun, [x]},
            {erlang, node, [1, 2]},
            {lists, nofun, []},
            {'', '', []},
            {'Elixir.NoMod', 'fun?', [#{a => 1}]},
            {'mod\x{e9}', 'f\x{431}', [x]}
        ]
    ].

%% A BEAM adds where in its code it failed; what failed and why are the same.
badargs(N, B) ->
    [
        begin
            Same = fun(Node) -> without_location(tb_lib:outcome(fun() -> erpc:call(Node, M, F, A) end)) end,
            ?assertEqual(Same(B), Same(N)),
            Rpc = fun(Node) -> without_location({value, rpc:call(Node, M, F, A)}) end,
            ?assertEqual(Rpc(B), Rpc(N))
        end
     || {M, F, A} <- [
            {erlang, whereis, ["name"]},
            {erlang, whereis, [1]},
            {erlang, is_process_alive, [x]},
            {erlang, is_process_alive, [self()]},
            {erlang, nodes, [what]},
            {erlang, nodes, [{a}]},
            {erlang, system_info, [nonsense]},
            {erlang, system_info, [[]]}
        ]
    ],
    ?assertError(
        {exception, badarg, [{tiebeam, connect, ["x"], []}]}, erpc:call(N, tiebeam, connect, ["x"])
    ),
    {Pid, Ref} = spawn_monitor(N, erlang, whereis, [1]),
    ?assertEqual({process, Pid, {badarg, [{erlang, whereis, [1], []}]}}, down(Ref)).

without_location({error, {exception, Reason, [{M, F, A, _} | _]}}) ->
    {error, Reason, M, F, A};
without_location({value, {badrpc, {'EXIT', {Reason, [{M, F, A, _} | _]}}}}) ->
    {value, Reason, M, F, A};
without_location(Other) ->
    Other.

erlang_functions(N, _) ->
    Call = fun(F, A) -> rpc:call(N, erlang, F, A) end,
    ?assertEqual(N, Call(node, [])),
    pong = net_adm:ping(N),
    ?assert(lists:member(node(), Call(nodes, []))),
    ?assert(lists:member(node(), Call(nodes, [visible]))),
    ?assert(lists:member(node(), Call(nodes, [connected]))),
    ?assert(lists:member(N, Call(nodes, [known]))),
    ?assertEqual([N], Call(nodes, [this])),
    ?assertEqual([], Call(nodes, [hidden])),
    Pid = Call(whereis, [tiebeam]),
    ?assert(is_pid(Pid)),
    ?assertEqual(undefined, Call(whereis, [nobody])),
    ?assertEqual(undefined, Call(whereis, ['n\x{f6}body'])),
    ?assertEqual(true, Call(is_process_alive, [Pid])),
    ?assertEqual(false, Call(is_process_alive, [dead(N)])),
    ?assertMatch([_ | _], Call(system_info, [otp_release])),
    ?assertMatch([_ | _], Call(system_info, [version])),
    ?assertMatch([_ | _], Call(system_info, [system_version])),
    ?assertEqual(8, Call(system_info, [wordsize])),
    ?assertEqual(1, Call(system_info, [schedulers])).

tiebeam_functions(N, B) ->
    pong = net_adm:ping(N),
    ?assertMatch(#{name := N, tables := #{}, counters := #{}}, rpc:call(N, tiebeam, info, [])),
    ?assert(lists:member(node(), rpc:call(N, tiebeam, nodes, []))),
    ?assertEqual(ok, rpc:call(N, tiebeam, connect, [B])),
    ?assertEqual(ok, rpc:call(N, tiebeam, connect, [B])),
    ?assert(lists:member(B, rpc:call(N, tiebeam, nodes, []))),
    ?assert(lists:member(N, rpc:call(B, erlang, nodes, [hidden]))),
    ?assertEqual(true, rpc:call(N, tiebeam, disconnect, [B])),
    ?assertEqual(false, rpc:call(N, tiebeam, disconnect, [B])),
    tb_lib:until(fun() -> not lists:member(N, rpc:call(B, erlang, nodes, [hidden])) end),
    Absent = maps:get(tb_variant:has_epmd(), #{true => not_in_epmd, false => econnrefused}),
    ?assertEqual({error, Absent}, rpc:call(N, tiebeam, connect, [absent()])),
    ?assertMatch({error, nxdomain}, rpc:call(N, tiebeam, connect, ['a@no.such.host.invalid'])),
    ?assertMatch({error, _}, rpc:call(N, tiebeam, connect, [nonsense])),
    ?assertEqual(true, rpc:call(N, net_kernel, connect_node, [B])),
    ?assertEqual(false, rpc:call(N, net_kernel, connect_node, [absent()])),
    ?assertEqual(true, rpc:call(N, erlang, disconnect_node, [B])).

%% --------------------------------------------------------------------- sys

sys_states(N, _) ->
    [
        begin
            State = sys:get_state({Name, N}),
            ?assertEqual(State, sys:get_state(tb_lib:pid_of(N, Name))),
            Status = sys:get_status({Name, N}),
            ?assertMatch({status, _, {module, _}, [_, running, _, [], [_ | _]]}, Status),
            {status, Pid, {module, _}, [Dict, running, Parent, [], Misc]} = Status,
            ?assertEqual(tb_lib:pid_of(N, Name), Pid),
            ?assert(is_list(Dict)),
            ?assert(is_pid(Parent)),
            Header = "Status for generic server " ++ atom_to_list(Name),
            ?assertEqual(Header, proplists:get_value(header, Misc)),
            ?assert(lists:member({data, [{"State", State}]}, Misc))
        end
     || Name <- [tiebeam, rex, net_kernel, tiebeam_sup]
    ],
    ?assertExit({noproc, {sys, get_state, [{nobody, N}]}}, sys:get_state({nobody, N})).

%% What sys expects depends on the release of the caller, who is asked for it:
%% for as long as sys:get_state/1 waits, then once for all.
sys_unanswered(N, _) ->
    Raw = tb_raw:connect(N, list_to_atom(tb_lib:name(raw) ++ "@" ++ tb_lib:host())),
    Start = erlang:monotonic_time(millisecond),
    First = ask_state(Raw, 1),
    {{29, _, _, _, {erpc, execute_call, 4}, [monitor]}, Asked} = tb_raw:recv(Raw),
    ?assertMatch([_, application, get_key, [stdlib, vsn]], Asked),
    {_, {First, {ok, State}}} = tb_raw:recv(Raw),
    Took = erlang:monotonic_time(millisecond) - Start,
    ?assert(Took >= 4900 andalso Took < 9000),
    Second = ask_state(Raw, 2),
    ?assertMatch({_, {Second, {ok, State}}}, tb_raw:recv(Raw)),
    tb_raw:close(Raw).

%% Who cannot be asked is no BEAM; he is answered as the newest are.
sys_without_spawn(N, _) ->
    Name = list_to_atom(tb_lib:name(raw) ++ "@" ++ tb_lib:host()),
    Raw = tb_raw:connect(N, Name, #{flags => tb_raw:flags() band bnot (1 bsl 32)}),
    Ref = ask_state(Raw, 1),
    ?assertMatch({_, {Ref, {ok, _}}}, tb_raw:recv(Raw)),
    tb_raw:close(Raw).

ask_state(Raw, Id) ->
    Us = tb_raw:pid(Raw, 1),
    Ref = tb_raw:ref(Raw, Id),
    tb_raw:send(Raw, {6, Us, '', tiebeam}, {system, {Us, Ref}, get_state}),
    Ref.

sys_suspend(N, _) ->
    To = {tiebeam, N},
    ok = sys:suspend(To),
    {status, _, _, [_, suspended | _]} = sys:get_status(To),
    ?assertExit({timeout, _}, gen_server:call(To, {echo, x}, 50)),
    Waiting = gen_server:send_request(To, {echo, waiting}),
    gen_server:cast(To, something),
    To ! something,
    %% the others go on
    pong = net_adm:ping(N),
    ?assertEqual(ok, sys:suspend(To)),
    ok = sys:resume(To),
    ?assertEqual({reply, waiting}, wait(Waiting)),
    {status, _, _, [_, running | _]} = sys:get_status(To),
    ?assertEqual(ok, sys:resume(To)),
    ?assertEqual(y, gen_server:call(To, {echo, y})),
    drop_late().

%% What waits is not looked through for each message that comes: with much of
%% it waiting, one more costs what it costs with none.
sys_suspend_long(N, _) ->
    To = {tiebeam, N},
    ok = sys:suspend(To),
    Few = time_casts(N, To),
    [gen_server:cast(To, I) || I <- lists:seq(1, 100000)],
    yes = gen_server:call({net_kernel, N}, {is_auth, node()}, 60000),
    Many = time_casts(N, To),
    ?assertEqual(true, Many < 5 * Few + 500 orelse {Few, Many}),
    Last = gen_server:send_request(To, {echo, last}),
    {status, _, _, [_, suspended | _]} = sys:get_status(To, 20000),
    ok = sys:resume(To),
    ?assertEqual({reply, last}, wait(Last)),
    ?assertEqual(x, tb_lib:call(N, {echo, x})).

%% Each cast in a turn of its own.
time_casts(N, To) ->
    Start = erlang:monotonic_time(millisecond),
    [
        begin
            gen_server:cast(To, I),
            yes = gen_server:call({net_kernel, N}, {is_auth, node()})
        end
     || I <- lists:seq(1, 2000)
    ],
    erlang:monotonic_time(millisecond) - Start.

%% Before aliases (OTP 24) a late reply does come.
drop_late() ->
    case tb_lib:otp() of
        Old when Old < 24 -> tb_lib:flush();
        _ -> []
    end.

sys_statistics(N, _) ->
    To = {tiebeam, N},
    ?assertEqual({ok, no_statistics}, sys:statistics(To, get)),
    ?assertEqual(ok, sys:statistics(To, true)),
    [x = gen_server:call(To, {echo, x}) || _ <- lists:seq(1, 10)],
    {ok, List} = sys:statistics(To, get),
    ?assertMatch(
        [start_time, current_time, reductions, messages_in, messages_out], [K || {K, _} <- List]
    ),
    {{_, _, _}, {_, _, _}} = proplists:get_value(start_time, List),
    ?assert(proplists:get_value(messages_in, List) >= 10),
    ?assert(proplists:get_value(messages_out, List) >= 10),
    ?assertEqual(ok, sys:statistics(To, false)),
    ?assertEqual({ok, no_statistics}, sys:statistics(To, get)).

sys_log(N, _) ->
    To = {tiebeam, N},
    ?assertEqual({ok, []}, sys:log(To, get)),
    ?assertEqual(ok, sys:log(To, true)),
    x = gen_server:call(To, {echo, x}),
    {ok, Events} = sys:log(To, get),
    ?assert(length(Events) > 0),
    ?assertEqual(ok, sys:log(To, {true, 3})),
    [x = gen_server:call(To, {echo, x}) || _ <- lists:seq(1, 10)],
    {ok, Last} = sys:log(To, get),
    ?assertEqual(3, length(Last)),
    ?assertEqual(ok, sys:log(To, false)),
    ?assertEqual({ok, []}, sys:log(To, get)),
    ?assertEqual(ok, sys:trace(To, true)),
    ?assertEqual(ok, sys:trace(To, false)),
    ?assertEqual(ok, sys:no_debug(To)).

system(To, Request) ->
    {ok, Reply} = gen:call(To, system, Request, 5000),
    Reply.

%% The answers of a gen_server of a BEAM, rex, to what it does not know.
sys_others(N, B) ->
    same(N, B, fun(Node) -> system({rex, Node}, what) end),
    same(N, B, fun(Node) -> system({rex, Node}, {debug, what}) end),
    same(N, B, fun(Node) -> system({rex, Node}, {debug, {statistics, get}}) end),
    same(N, B, fun(Node) -> system({rex, Node}, {change_code, rpc, old, extra}) end),
    ?assertEqual({error, {unknown_system_msg, {what, 1}}}, system({tiebeam, N}, {what, 1})),
    Fun = fun(State) -> State end,
    ?assertError({callback_failed, Fun, {error, notsup}}, sys:replace_state({tiebeam, N}, Fun)),
    ok = sys:suspend({tiebeam, N}),
    ?assertEqual(ok, sys:change_code({tiebeam, N}, tiebeam, old, extra)),
    ok = sys:resume({tiebeam, N}),
    ?assertEqual(x, tb_lib:call(N, {echo, x})).

sys_terminate(N, _) ->
    Pid = tb_lib:pid_of(N, tiebeam),
    Ref = monitor(process, Pid),
    ?assertEqual(ok, sys:terminate(Pid, {some, "reason"})),
    ?assertEqual({process, Pid, {some, "reason"}}, down(Ref)),
    is_back(N, tiebeam, Pid),
    %% also while it is suspended
    Next = tb_lib:pid_of(N, tiebeam),
    NextRef = monitor(process, {tiebeam, N}),
    ok = sys:suspend(Next),
    ?assertEqual(ok, sys:terminate(Next, normal)),
    ?assertEqual({process, {tiebeam, N}, normal}, down(NextRef)),
    is_back(N, tiebeam, Next).

stop_reasons(N, _) ->
    Old = tb_lib:pid_of(N, rex),
    ?assertEqual(ok, gen_server:stop({rex, N})),
    is_back(N, rex, Old),
    Next = tb_lib:pid_of(N, rex),
    ?assertEqual(ok, gen_server:stop(Next, shutdown, 5000)),
    is_back(N, rex, Next),
    Pid = tb_lib:pid_of(N, tiebeam),
    Ref = monitor(process, Pid),
    ?assertEqual(ok, gen_server:stop({tiebeam, N}, {shutdown, [x]}, infinity)),
    ?assertEqual({process, Pid, {shutdown, [x]}}, down(Ref)),
    is_back(N, tiebeam, Pid),
    Kernel = tb_lib:pid_of(N, net_kernel),
    ?assertEqual(ok, gen_server:stop({net_kernel, N}, boom, 5000)),
    is_back(N, net_kernel, Kernel).

stop_noproc(N, B) ->
    same(N, B, fun(Node) -> gen_server:stop({nobody, Node}) end),
    same(N, B, fun(Node) -> gen_server:stop({nobody, Node}, boom, 1000) end),
    ?assertExit(noproc, gen_server:stop(dead(N))).

supervisor_requests(N, _) ->
    Children = supervisor:which_children({tiebeam_sup, N}),
    Names = [net_kernel, node_monitor, rex, tiebeam],
    ?assertEqual(
        lists:sort([{Name, tb_lib:pid_of(N, Name), worker, [Name]} || Name <- Names]),
        lists:sort(Children)
    ),
    ?assertEqual(tiebeam_sup, supervisor:get_callback_module(tb_lib:pid_of(N, tiebeam_sup))),
    Count = supervisor:count_children({tiebeam_sup, N}),
    ?assertEqual(
        [{active, 4}, {specs, 4}, {supervisors, 0}, {workers, 4}], lists:sort(Count)
    ).

%% A discovery is transient: it comes back after a crash, not after a stop.
transient_service(_, _) ->
    Config = [{tiebeam, [{discovery, [{found, [{source, ignore}]}]} | tb_lib:quiet()]}],
    Daemon = tb_lib:daemon(transient, #{config => Config}),
    N = tb_lib:node_of(Daemon),
    try
        Old = tb_lib:pid_of(N, found),
        exit(Old, kill),
        is_back(N, found, Old),
        ?assertEqual(false, gen_server:call({found, N}, has_ran)),
        ?assertEqual(ok, gen_server:stop({found, N})),
        ?assertEqual(undefined, tb_lib:pid_of(N, found)),
        ?assertEqual(
            [{active, 4}, {specs, 4}, {supervisors, 0}, {workers, 4}],
            lists:sort(supervisor:count_children({tiebeam_sup, N}))
        )
    after
        tb_lib:stop(Daemon)
    end.

%% ------------------------------------------------------- replies, io

late_replies(N, _) ->
    To = {tiebeam, N},
    ok = sys:suspend(To),
    [
        ?assertExit({timeout, _}, gen_server:call(To, {echo, {late, I}}, 5))
     || I <- lists:seq(1, 20)
    ],
    ?assertExit({timeout, _}, gen_server:call(tb_lib:pid_of(N, tiebeam), {echo, late}, 100)),
    {[], [N]} = gen_server:multi_call([N], tiebeam, {echo, late}, 50),
    ok = sys:resume(To),
    x = gen_server:call(To, {echo, x}),
    case drop_late() of
        [] -> ?assertEqual([], tb_lib:mailbox());
        _ -> ok
    end.

io_requests(N, _) ->
    Pid = tb_lib:pid_of(N, tiebeam),
    [
        begin
            Ref = make_ref(),
            Pid ! {io_request, self(), Ref, Request},
            ?assertEqual({io_reply, Ref, {error, request}}, one_message())
        end
     || Request <- [{put_chars, unicode, <<"text">>}, {get_line, unicode, ">"}, what]
    ].

group_leaders(N, _) ->
    Pid = tb_lib:pid_of(N, tiebeam),
    {Printer, Ref} = spawn_monitor(fun() ->
        group_leader(Pid, self()),
        {error, _} = tb_lib:outcome(fun() -> io:format("to nobody~n") end),
        exit({printed, group_leader()})
    end),
    ?assertEqual({process, Printer, {printed, Pid}}, down(Ref)),
    %% and the group leader of a process there
    held(N, fun(Spawn) ->
        There = Spawn(),
        true = group_leader(self(), There),
        ?assertEqual(true, tb_lib_alive(There)),
        exit(There, kill)
    end).

%% ------------------------------------------------------------------- terms

echo(N, Term) ->
    Echoed = tb_lib:call(N, {echo, Term}),
    Echoed =:= Term orelse error({changed, Term, Echoed}).

echo_numbers(N, _) ->
    Powers = [1 bsl I || I <- lists:seq(0, 2000)],
    Near = lists:append([[P - 1, P, P + 1] || P <- Powers]),
    echo(N, Near),
    echo(N, [-I || I <- Near]),
    [echo(N, I) || I <- [0, 255, 256, -1, 1 bsl 31, -(1 bsl 31), 1 bsl 64, 1 bsl 2039, 1 bsl 2040]],
    echo(N, [0.0, -0.0, 1.0, -1.5, 1.0e308, 5.0e-324, 3.141592653589793]),
    echo(N, -0.0).

echo_atoms(N, _) ->
    Long = [lists:duplicate(255, C) || C <- [$a, 16#E9, 16#431, 16#1F600]],
    Texts = ["", "a", "A b", "\x{e9}t\x{e9}", "\x{431}", "\x{1F600}", "'", "\n", "\0" | Long],
    [echo(N, list_to_atom(T)) || T <- Texts],
    echo(N, [list_to_atom(T) || T <- Texts]).

%% A BEAM tells an atom once, by its place in a cache of 2048; others that have
%% the same place, as each 2048th of new atoms has, take it from each other. A
%% message tells 255 at most.
echo_many_atoms(N, _) ->
    Atoms = list_to_tuple([list_to_atom("told_" ++ integer_to_list(I)) || I <- lists:seq(1, 6000)]),
    At = fun(I) -> element(I, Atoms) end,
    [
        begin
            echo(N, {At(I), At(I + 2048)}),
            echo(N, [At(I + 4096 - 2048 * (J rem 3)) || J <- lists:seq(0, 5)])
        end
     || I <- lists:seq(1, 1904, 19)
    ],
    Random = fun(Count) -> [At(rand:uniform(6000)) || _ <- lists:seq(1, Count)] end,
    [echo(N, Random(Count)) || Count <- [1, 2, 3, 17, 254, 255, 256, 300, 5000], _ <- lists:seq(1, 20)],
    [echo(N, maps:from_list([{A, Random(2)} || A <- Random(Count)])) || Count <- [1, 20, 200]],
    %% some processes at once: what one tells another refers to
    Each = fun() -> [echo(N, {self(), Random(40)}) || _ <- lists:seq(1, 50)] end,
    Running = [spawn_monitor(Each) || _ <- lists:seq(1, 8)],
    [
        receive
            {'DOWN', Ref, process, Pid, Why} -> ?assertEqual(normal, Why)
        end
     || {Pid, Ref} <- Running
    ],
    %% in which one character takes up to four bytes, and more than a byte tells how many
    Chars = [$z, 16#E9, 16#431, 16#20AC, 16#1F600],
    Long = list_to_tuple([list_to_atom(lists:duplicate(255 - Less, C)) || C <- Chars, Less <- lists:seq(0, 200)]),
    [echo(N, [element(rand:uniform(tuple_size(Long)), Long) || _ <- lists:seq(1, Count)]) || Count <- [1, 10, 300], _ <- lists:seq(1, 20)].

echo_binaries(N, _) ->
    echo(N, <<>>),
    echo(N, [<<0:Size>> || Size <- lists:seq(0, 64)]),
    echo(N, [<<-1:Size>> || Size <- lists:seq(0, 64)]),
    echo(N, <<1:1>>),
    Binary = crypto_free_bytes(70000),
    [echo(N, binary:part(Binary, 0, Size)) || Size <- [1, 255, 256, 65535, 65536, 70000]].

crypto_free_bytes(Size) ->
    list_to_binary([rand:uniform(256) - 1 || _ <- lists:seq(1, Size)]).

echo_containers(N, _) ->
    echo(N, []),
    echo(N, ""),
    echo(N, "text"),
    echo(N, lists:duplicate(65535, $a)),
    echo(N, lists:duplicate(65536, $a)),
    echo(N, lists:seq(1, 300)),
    echo(N, [a | b]),
    echo(N, [1, 2 | {3}]),
    echo(N, [[[[]]], [], [[[] | x]]]),
    echo(N, {}),
    echo(N, {a}),
    echo(N, list_to_tuple(lists:seq(1, 255))),
    echo(N, list_to_tuple(lists:seq(1, 300))),
    echo(N, #{}),
    echo(N, maps:from_list([{I, {I, "v"}} || I <- lists:seq(1, 100)])),
    echo(N, #{1 => a, 1.0 => b, "k" => c, <<"k">> => d, {k} => #{e => f}, #{} => g}).

echo_identifiers(N, B) ->
    Local = fun(X) -> {X, N} end,
    echo(N, [fun lists:map/2, fun no_module:nothing/3, Local, fun() -> ok end, fun echo_deep/2]),
    Remote = rpc:call(B, ?MODULE, probe, []),
    echo(N, Remote),
    echo(N, [self(), group_leader(), tb_lib:pid_of(N, tiebeam), spawn(fun() -> ok end)]),
    echo(N, [make_ref() | [make_ref() || _ <- lists:seq(1, 20)]]),
    echo(N, erlang:ports()),
    echo(N, tb_raw:pid('some@other.host', 77, 5)).

%% Identifiers of the node it runs on.
-spec probe() -> [term()].
probe() ->
    X = node(),
    [self(), make_ref(), hd(erlang:ports()), fun() -> X end, fun(Y) -> {X, Y} end].

-spec fail(term()) -> no_return().
fail(Reason) ->
    error(Reason).

echo_deep(N, _) ->
    Deep = lists:foldl(fun(_, Acc) -> [Acc] end, bottom, lists:seq(1, 100000)),
    echo(N, Deep),
    Tuples = lists:foldl(fun(I, Acc) -> {I, Acc} end, {}, lists:seq(1, 100000)),
    echo(N, Tuples),
    Maps = lists:foldl(fun(_, Acc) -> #{k => Acc} end, #{}, lists:seq(1, 10000)),
    echo(N, Maps).

echo_large(N, _) ->
    Size = 16 bsl 20,
    Binary = <<<<(I band 255)>> || I <- lists:seq(1, 1 bsl 16)>>,
    Large = binary:copy(Binary, Size div byte_size(Binary)),
    ?assertEqual(Size, byte_size(Large)),
    echo(N, Large),
    echo(N, {Large, [Large]}).

%% ------------------------------------------------------- odd signals

trace_tokens(N, _) ->
    seq_trace:set_token(label, {a, label}),
    seq_trace:set_token(send, true),
    try
        ?assertEqual(x, tb_lib:call(N, {echo, x})),
        ?assertEqual(y, gen_server:call(tb_lib:pid_of(N, tiebeam), {echo, y})),
        ?assertEqual(z, erpc:call(N, tiebeam, echo, [z])),
        {Pid, Ref} = spawn_monitor(N, erlang, node, []),
        ?assertEqual({process, Pid, normal}, down(Ref)),
        held(N, fun(Spawn) ->
            Held = Spawn(),
            HeldRef = monitor(process, Held),
            exit(Held, traced),
            ?assertEqual({process, Held, traced}, down(HeldRef)),
            trapping(fun() ->
                Other = Spawn(),
                OtherRef = monitor(process, Other),
                spawn(fun() ->
                    seq_trace:set_token(label, other),
                    link(Other),
                    exit(traced)
                end),
                ?assertEqual({process, Other, traced}, down(OtherRef))
            end)
        end)
    after
        seq_trace:set_token([])
    end,
    ?assertEqual(x, tb_lib:call(N, {echo, x})).

odd_signals(N, _) ->
    Creation = maps:get(creation, tb_lib:info(N)),
    Never = tb_raw:pid(N, Creation, 32000),
    ?assertEqual({process, Never, noproc}, down(monitor(process, Never))),
    Never ! hello,
    exit(Never, kill),
    true = unlink(Never),
    true = group_leader(self(), tb_lib:pid_of(N, tiebeam)),
    case tb_lib:otp() >= 24 of
        true ->
            <<131, 90, Rest/binary>> = term_to_binary(make_ref()),
            <<Words:16, _/binary>> = Rest,
            Ids = binary:part(Rest, byte_size(Rest) - 4 * Words, 4 * Words),
            Name = atom_to_binary(N, utf8),
            Ref = binary_to_term(
                <<131, 90, Words:16, 119, (byte_size(Name)), Name/binary, Creation:32, Ids/binary>>
            ),
            Ref ! hello;
        false ->
            ok
    end,
    ?assertEqual(x, tb_lib:call(N, {echo, x})).

%% What a later release may send: ignored, and counted.
odd_control(N, _) ->
    Raw = tb_raw:connect(N, list_to_atom(tb_lib:name(raw) ++ "@" ++ tb_lib:host())),
    Before = maps:get(unknown_control, maps:get(counters, tb_lib:info(N))),
    [tb_raw:send(Raw, {Op, a, b}) || Op <- [0, 5, 9, 38, 99, 1 bsl 20]],
    [tb_raw:send(Raw, {Op, a}, some_payload) || Op <- [38, 255]],
    ?assertEqual(x, tb_raw:call(Raw, tiebeam, {echo, x})),
    After = maps:get(unknown_control, maps:get(counters, tb_lib:info(N))),
    ?assertEqual(8, After - Before),
    %% answers to what was never asked
    Us = tb_raw:pid(Raw, 1),
    Them = tb_lib:pid_of(N, tiebeam),
    Ref = tb_raw:ref(Raw, 7),
    tb_raw:send(Raw, {20, Us, Them, Ref}),
    tb_raw:send(Raw, {21, Us, Them, Ref, reason}),
    tb_raw:send(Raw, {28, Us, Them, Ref}, reason),
    tb_raw:send(Raw, {31, Ref, Them, 3, Us}),
    ?assertEqual({{20, Them, Us, Ref}}, tb_raw:recv(Raw)),
    tb_raw:send(Raw, {36, 17, Us, Them}),
    tb_raw:send(Raw, {3, Us, Them, reason}),
    tb_raw:send(Raw, {24, Us, Them}, reason),
    tb_raw:send(Raw, {4, Us, Them}),
    tb_raw:send(Raw, {33, Us, Ref}, hello),
    tb_raw:send(Raw, {35, 18, Us, Them}),
    ?assertEqual({{36, 18, Them, Us}}, tb_raw:recv(Raw)),
    ?assertEqual(y, tb_raw:call(Raw, tiebeam, {echo, y})),
    %% a link, made twice; its unlink is acknowledged before all else
    tb_raw:send(Raw, {1, Us, Them}),
    tb_raw:send(Raw, {1, Us, Them}),
    tb_raw:send(Raw, {35, 19, Us, Them}),
    ?assertEqual({{36, 19, Them, Us}}, tb_raw:recv(Raw)),
    %% a monitor for which the name stays a name
    tb_raw:send(Raw, {19, Us, nobody, Ref}),
    ?assertEqual({{28, nobody, Us, Ref}, noproc}, tb_raw:recv(Raw)),
    tb_raw:close(Raw),
    ?assertEqual(x, tb_lib:call(N, {echo, x})).

%% Such a connection ends; nothing else does.
odd_frames(N, _) ->
    pong = net_adm:ping(N),
    Name = list_to_atom(tb_lib:name(raw) ++ "@" ++ tb_lib:host()),
    Id = connection_id(N),
    [
        begin
            Raw = tb_raw:connect(N, Name),
            ok = tb_raw:send_bytes(Raw, Frame),
            ?assertEqual(closed, tb_raw:recv(Raw))
        end
     || Frame <- [
            <<1>>,
            <<112>>,
            <<112, 130>>,
            <<112, 131>>,
            <<112, 131, 104, 255>>,
            <<112, 131, 110, 255, 0>>,
            [112, term_to_binary(not_a_tuple)],
            [112, term_to_binary({})],
            [112, term_to_binary({a, b})],
            [112, term_to_binary({19, a, b, c})],
            [112, term_to_binary({1, 2, 3})],
            [112, term_to_binary({6, self(), '', tiebeam})],
            [112, term_to_binary({6, self(), '', tiebeam}), 131, 108, 255, 255, 255, 255],
            [112, binary:part(term_to_binary({2, '', self()}), 0, 10)]
        ]
    ],
    ?assertEqual(Id, connection_id(N)),
    ?assertEqual(x, tb_lib:call(N, {echo, x})).

connection_id(N) ->
    #{nodes := #{node() := #{connection_id := Id}}} = tb_lib:info(N),
    Id.

%% Runs last: whatever all these tests did, nothing of it is left.
tables_back(N, _) ->
    tb_lib:until(fun() ->
        maps:with([processes, names, links, monitors, calls, timers], tb_lib:tables(N)) =:=
            #{processes => 5, names => 5, links => 8, monitors => 1, calls => 0, timers => 1}
    end),
    ok.

%% ------------------------------------------------------------------ helper

%% Fun of both nodes ends alike, the node's own name aside.
same(N, B, Fun) ->
    Ours = rename(tb_lib:outcome(fun() -> Fun(N) end), N),
    Theirs = rename(tb_lib:outcome(fun() -> Fun(B) end), B),
    ?assertEqual(Theirs, Ours).

rename(Node, Node) -> 'the node';
rename([H | T], Node) -> [rename(H, Node) | rename(T, Node)];
rename(T, Node) when is_tuple(T) -> list_to_tuple(rename(tuple_to_list(T), Node));
rename(Other, _) -> Other.
