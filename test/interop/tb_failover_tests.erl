%% tb_failover_tests - a supervisor while nodes come, go and are killed: no
%% child is lost, none is there twice, and every call ends.
-module(tb_failover_tests).
-include_lib("eunit/include/eunit.hrl").

-define(TIMEOUT, 600).
-define(NAME, jobs).
-define(SLOW, 60000).

-spec failover_test_() -> tuple().
failover_test_() ->
    {setup, fun setup/0, fun cleanup/1, fun(_) ->
        [
            {timeout, ?TIMEOUT, {Title, Case}}
         || {Title, Case} <- tb_lib:chosen(cases())
        ]
    end}.

setup() ->
    tb_lib:join(aa_failover).

cleanup(Epmd) ->
    tb_lib:leave(Epmd).

cases() ->
    [
        {"tiebeam is killed: nothing happens to the children", fun killed/0},
        {"tiebeam is killed while children start", fun killed_while_starting/0},
        {"what ends while nobody watches is handled later", fun exits_meanwhile/0},
        {"a host is killed: its children run elsewhere", fun host_killed/0},
        {"a host is killed: at the rate that is allowed", fun paced/0},
        {"a host is killed: at another rate from then on", fun paced_less/0},
        {"a host is killed while children start", fun host_killed_while_starting/0},
        {"the only host is killed, and is back", fun only_host/0},
        {"the process of a host is killed", fun host_process/0},
        {"the process of a backup is killed: it has the copies again", fun backup_killed/0},
        {"and while no tiebeam is there", fun backup_killed_unseen/0},
        {"copies tell of a host that was started anew, and of one before", fun told_by_copies/0},
        {"who acknowledged for a former incarnation has nothing of the next", fun early_holder/0},
        {"a host that stands still is told things once", fun still_host/0},
        {"a host that does not answer is waited for", fun no_answer/0},
        {"what was found out of a former absence does not count", fun late_confirm/0},
        {"a host with the only tiebeam is killed", fun machine/0},
        {"a name that is still held is waited for", fun held_name/0},
        {"named children keep what they were", fun named/0},
        {"a host joins: phash2", fun join_phash2/0},
        {"a host joins: rendezvous", fun join_rendezvous/0},
        {"a host joins: nothing moves by itself", fun join_no_balance/0},
        {"drain and undrain", fun drain/0},
        {"a locator {Module, Function}", fun locator/0},
        {"a locator {Module, Function} that fails", fun locator_fails/0},
        {"a locator: the host that it names has gone", fun locator_late/0},
        {"a host joins, and another one is lost", fun join_and_loss/0},
        {"a rolling restart of all hosts", fun rolling/0},
        {"a second host is killed after the failover of the first", fun second_loss/0},
        {"a rolling restart under new names, with drain", fun rolling_new_names/0},
        {"hosts with new names come and go", fun new_names/0},
        {"a host is forgotten by request", fun forget/0},
        {"too many restarts on one host", fun intensity_moves/0},
        {"two tiebeam nodes: requests through both, and a take-over", fun two/0},
        {"two tiebeam nodes: stopped at one while the other was about to restart", fun stopped_by_other/0},
        {"two tiebeam nodes: the one that decides stands still", fun owner_stands_still/0},
        {"two tiebeam nodes: other options", fun differ/0},
        {"{global, Name}, taken over by another tiebeam node", fun global_name/0},
        {"stop ends all of it, on every tiebeam node", fun stop/0},
        {"a host that is new after a stop: what starts there stays", fun new_after_stop/0},
        {"every call ends while hosts are killed", fun every_call/0}
    ].

%% ----------------------------------------------------------------- helpers

config(Options) ->
    [{tiebeam, [{discovery, []}, {supervisors, [{?NAME, [{hosts, all} | Options]}]}]}].

%% Those that a case that fails has not ended do not disturb the next one.
daemon(Name, Options) ->
    started(tb_lib:daemon(Name, #{config => config(Options)})).

started(Program) ->
    _ = put(started, [Program | started()]),
    Program.

started() ->
    case get(started) of
        undefined -> [];
        Programs -> Programs
    end.

%% A node whose release does not contain the module.
host(Name) ->
    Beam = started(tb_lib:beam(Name, #{args => ["-kernel", "logger_level", "none"]})),
    Node = tb_lib:node_of(Beam),
    {module, _} = rpc:call(Node, code, ensure_loaded, [tb_kid]),
    true = rpc:call(Node, code, del_path, [filename:dirname(code:which(?MODULE))]),
    Beam.

hosts(Names) ->
    [host(N) || N <- Names].

nodes_of(Beams) ->
    lists:sort([tb_lib:node_of(B) || B <- Beams]).

%% Once: some end in the middle of a test.
end_beam(Beam) ->
    case put({ended, Beam}, true) of
        undefined -> tb_lib:end_beam(Beam);
        true -> ok
    end.

join(Beams, Node) ->
    _ = [tb_lib:link(N, Node) || N <- nodes_of(Beams)],
    ok.

with(HostNames, Options, Fun) ->
    Beams = hosts(HostNames),
    Daemon = daemon(zz_tiebeam, Options),
    Node = tb_lib:node_of(Daemon),
    try
        join(Beams, Node),
        are_hosts(Node, Beams),
        Fun(Node, Beams, Daemon)
    catch
        Class:Reason:Stack ->
            tb_lib:show(Daemon),
            [tb_lib:put_away(P) || P <- started(), not lists:member(P, [Daemon | Beams])],
            erlang:raise(Class, Reason, Stack)
    after
        try
            tb_lib:stop(Daemon)
        after
            lists:foreach(fun end_beam/1, Beams)
        end
    end.

are_hosts(Node, Beams) ->
    tb_lib:until_equal(nodes_of(Beams), fun() -> ask(Node, hosts) end, ?SLOW).

ask(Node, Request) ->
    try
        gen_server:call({?NAME, Node}, Request, ?SLOW)
    catch
        exit:{Reason, _} -> {exit, Reason}
    end.

spec(Arg) ->
    spec(Arg, permanent).

spec(Arg, Restart) ->
    {{tb_kid, start_link, [Arg]}, Restart, 5000, worker, [tb_kid]}.

start(Node, Args) ->
    Results = ask(Node, {start_children, [spec(A) || A <- Args]}),
    Pids = [P || {ok, P} <- Results],
    ?assertEqual(length(Args), length(Pids)),
    Pids.

pids(Node) ->
    case ask(Node, which_children) of
        List when is_list(List) -> lists:sort([P || {_, P, _, _} <- List]);
        Other -> Other
    end.

%% The arguments of all children that run on these hosts, asked of the hosts'
%% own tables and of the processes themselves.
running(Beams) ->
    lists:sort(lists:append([running_on(N) || N <- nodes_of(Beams)])).

running_on(Node) ->
    Table =
        case rpc:call(Node, gen_server, call, [tiebeam_host_jobs, table, ?SLOW]) of
            List when is_list(List) -> List;
            {badrpc, {'EXIT', {_, {gen_server, call, _}}}} -> [] % it ended, with its children
        end,
    Running = [{Pid, Arg} || {_, _, {_, _, {_, _, [Arg]}, _, _, _, _, _}, {running, Pid}} <- Table],
    Alive = rpc:call(Node, lists, filter, [fun erlang:is_process_alive/1, [P || {P, _} <- Running]]),
    Set = maps:from_list([{P, []} || P <- Alive]),
    [Arg || {P, Arg} <- Running, is_map_key(P, Set)].

%% Every child of these arguments runs, once.
all_run(Node, Beams, Args) ->
    Sorted = lists:sort(Args),
    tb_lib:until_equal(Sorted, fun() -> running(Beams) end, ?SLOW),
    tb_lib:until_equal({length(Args), []}, fun() ->
        case ask(Node, which_children) of
            List when is_list(List) ->
                {length(List), [{C, catch ask(Node, {explain, element(1, C)})} || {_, P, _, _} = C <- List, not is_pid(P)]};
            Other ->
                Other
        end
    end, ?SLOW),
    %% none that is in no table
    tb_lib:until_equal(length(Args), fun() -> lists:sum([kids(N) || N <- nodes_of(Beams)]) end, ?SLOW).

%% Processes that are children, whoever knows of them.
kids(Node) ->
    length(rpc:call(Node, tb_kid, kids, [])).

again(Daemon, Options) ->
    tb_lib:kill(Daemon),
    daemon(zz_tiebeam, Options).

%% ------------------------------------------------------- tiebeam is killed

killed() ->
    Beams = hosts([h1, h2, h3]),
    Args = lists:seq(1, 1000),
    First = daemon(zz_tiebeam, []),
    Node = tb_lib:node_of(First),
    join(Beams, Node),
    are_hosts(Node, Beams),
    Pids = lists:sort(start(Node, Args)),
    Last = lists:foldl(
        fun(_, D) ->
            New = again(D, []),
            join(Beams, Node),
            tb_lib:until_equal(Pids, fun() -> pids(Node) end, ?SLOW),
            New
        end,
        First,
        lists:seq(1, tb_lib:int_env("TB_KILLS", 10))
    ),
    all_run(Node, Beams, Args),
    ?assertEqual(Pids, pids(Node)),
    tb_lib:stop(Last),
    %% it left: the children stay
    ?assertEqual(Args, running(Beams)),
    lists:foreach(fun end_beam/1, Beams).

%% Killed at random points of 1000 starts each; what was acknowledged runs, and
%% nothing runs twice.
killed_while_starting() ->
    Beams = hosts([h1, h2, h3]),
    First = daemon(zz_tiebeam, []),
    Node = tb_lib:node_of(First),
    join(Beams, Node),
    are_hosts(Node, Beams),
    {Last, Acked} = lists:foldl(
        fun(Round, {D, Known}) ->
            Reqs = [
                {{Round, N}, gen_server:send_request({?NAME, Node}, {start_child, spec({Round, N})})}
             || N <- lists:seq(1, 1000)
            ],
            pause(rand:uniform(60)),
            tb_lib:kill(D),
            Ok = [A || {A, R} <- Reqs, {reply, {ok, _}} <- [gen_server:wait_response(R, ?SLOW)]],
            New = daemon(zz_tiebeam, []),
            join(Beams, Node),
            are_hosts(Node, Beams),
            %% all it knows runs, each once, and all that was acknowledged
            Running = settled(Node, Beams, Known ++ Ok),
            ?assertEqual(Running, lists:usort(Running)),
            {New, Running}
        end,
        {First, []},
        lists:seq(1, tb_lib:int_env("TB_KILLS", 10))
    ),
    ?assert(length(Acked) > 0),
    tb_lib:stop(Last),
    lists:foreach(fun end_beam/1, Beams).

pause(Ms) ->
    receive
    after Ms -> ok
    end.

%% What runs, once all of these are there and tiebeam and the hosts agree.
settled(Node, Beams, Args) ->
    tb_lib:until_equal([], fun() -> lists:sort(Args) -- running(Beams) end, ?SLOW),
    tb_lib:until(fun() ->
        Pids = pids(Node),
        is_list(Pids) andalso lists:all(fun erlang:is_pid/1, Pids) andalso length(Pids) =:= length(running(Beams)) andalso
            length(Pids) =:= lists:sum([kids(N) || N <- nodes_of(Beams)])
    end, ?SLOW),
    running(Beams).

exits_meanwhile() ->
    Beams = hosts([h1, h2]),
    First = daemon(zz_tiebeam, [{max_restarts, 1}]),
    Node = tb_lib:node_of(First),
    join(Beams, Node),
    are_hosts(Node, Beams),
    Permanent = start(Node, [{p, N} || N <- lists:seq(1, 20)]),
    {ok, T} = ask(Node, {start_child, spec(t, temporary)}),
    {ok, R} = ask(Node, {start_child, spec(r, transient)}),
    tb_lib:kill(First),
    _ = [exit(P, kill) || P <- Permanent],
    T ! {exit, x},
    R ! {exit, normal},
    tb_lib:until_equal([], fun() -> running(Beams) end),
    Second = daemon(zz_tiebeam, [{max_restarts, 1}]),
    join(Beams, Node),
    all_run(Node, Beams, [{p, N} || N <- lists:seq(1, 20)]),
    ?assertEqual(20, proplists:get_value(specs, ask(Node, count_children))),
    %% these exits were not too many, since nobody knows when they were; later ones are
    are_hosts(Node, Beams),
    Bad = node(hd(pids(Node))),
    crash_on(Node, Bad),
    tb_lib:until_equal(nodes_of(Beams) -- [Bad], fun() -> ask(Node, hosts) end, ?SLOW),
    all_run(Node, Beams, [{p, N} || N <- lists:seq(1, 20)]),
    tb_lib:stop(Second),
    lists:foreach(fun end_beam/1, Beams).

%% --------------------------------------------------------- a host is killed

host_killed() ->
    with([h1, h2, h3], [], fun(Node, [H1, H2, H3], _) ->
        Args = lists:seq(1, 1000),
        Pids = start(Node, Args),
        {ok, T} = ask(Node, {start_child, spec(temporary, temporary)}),
        Lost = tb_lib:node_of(H2),
        end_beam(H2),
        Rest = [temporary || node(T) =/= Lost],
        all_run(Node, [H1, H3], Args ++ Rest),
        %% the others were not touched
        ?assertEqual([], [P || P <- Pids, node(P) =/= Lost] -- pids(Node)),
        ?assertEqual([tb_lib:node_of(H1), tb_lib:node_of(H3)], ask(Node, hosts)),
        %% and once more: what was started elsewhere is not lost either
        end_beam(H3),
        all_run(Node, [H1], Args ++ [temporary || node(T) =:= tb_lib:node_of(H1)])
    end).

host_killed_while_starting() ->
    with([h1, h2, h3], [], fun(Node, [H1, H2, H3], _) ->
        Reqs = [
            {N, gen_server:send_request({?NAME, Node}, {start_child, spec(N)})}
         || N <- lists:seq(1, 3000)
        ],
        pause(rand:uniform(50)),
        end_beam(H2),
        Results = [{N, gen_server:wait_response(R, ?SLOW)} || {N, R} <- Reqs],
        ?assertEqual([], [X || {_, R} = X <- Results, not is_ok(R)]),
        all_run(Node, [H1, H3], lists:seq(1, 3000))
    end).

is_ok({reply, {ok, _}}) -> true;
is_ok(_) -> false.

%% It says where children go that have to go, and moves none that may stay.
locator() ->
    with([h1, h2, h3], [{locator, {tb_kid, place}}, {settle_ms, 0}], fun(Node, Beams, _) ->
        [N1, N2, N3] = nodes_of(Beams),
        Args = lists:seq(1, 60),
        Pids = start(Node, Args),
        Named = #{id => named, start => {tb_kid, start_link, [named]}},
        {ok, Pid} = ask(Node, {start_child, Named}),
        ?assertEqual([N3], lists:usort([node(P) || P <- [Pid | Pids]])),
        All = [named | Args],
        end_beam(lists:last(Beams)),
        Rest = lists:droplast(Beams),
        all_run(Node, Rest, All),
        ?assertEqual([N2], lists:usort([node(P) || P <- pids(Node)])),
        ok = ask(Node, {drain, N2}),
        tb_lib:until_equal([N1], fun() -> lists:usort([node(P) || P <- pids(Node), is_pid(P)]) end, ?SLOW),
        all_run(Node, Rest, All),
        Here = pids(Node),
        ok = ask(Node, {undrain, N2}),
        Moves = maps:get(moves, maps:get(counters, ask(Node, info))),
        ok = ask(Node, rebalance),
        Beam = host(h4),
        join([Beam], Node),
        are_hosts(Node, [Beam | Rest]),
        %% a turn after the time at which they would set off
        pause(1000),
        ?assertEqual(Here, pids(Node)),
        ?assertEqual(Moves, maps:get(moves, maps:get(counters, ask(Node, info)))),
        end_beam(Beam)
    end).

%% What it answers was right when it was asked: it is asked once more.
locator_late() ->
    with([h1, h2, h3], [{locator, {tb_kid, place}}, {settle_ms, 0}], fun(Node, Beams, _) ->
        [N1, N2, N3] = nodes_of(Beams),
        ok = rpc:call(N1, tb_kid, placing, [{ask, self()}]),
        Self = self(),
        spawn_link(fun() -> Self ! {answer, ask(Node, {start_child, spec(late)})} end),
        Answer = fun(Nodes, Place) ->
            receive
                {From, Nodes} -> From ! {place, Place}
            after ?SLOW -> error({not_asked, Nodes})
            end
        end,
        receive
            {From, [N1, N2, N3]} ->
                end_beam(lists:last(Beams)),
                are_hosts(Node, lists:droplast(Beams)),
                From ! {place, N3}
        after ?SLOW -> error(not_asked)
        end,
        Answer([N1, N2], N2),
        receive
            {answer, {ok, Pid}} -> ?assertEqual(N2, node(Pid))
        after ?SLOW -> error(no_answer)
        end,
        ok = rpc:call(N1, tb_kid, placing, [last])
    end).

locator_fails() ->
    with([h1, h2, h3], [{locator, {tb_kid, place}}], fun(Node, Beams, Daemon) ->
        [N1, _, _] = nodes_of(Beams),
        Args = lists:seq(1, 40),
        _ = start(Node, Args),
        Seen = fun() -> length(binary:matches(tb_lib:output(Daemon), <<"supervisor.locator_failed">>)) end,
        %% each way of failing on the node that is asked, the first one
        lists:foldl(
            fun(How, N) ->
                ok = rpc:call(N1, tb_kid, placing, [How]),
                Before = Seen(),
                From = [node(P) || P <- pids(Node)],
                [Drained | _] = lists:usort(From) -- [N1],
                ok = ask(Node, {drain, Drained}),
                %% calls are answered while it is asked
                ?assert(is_list(pids(Node))),
                tb_lib:until(fun() -> not lists:member(Drained, [node(P) || P <- pids(Node), is_pid(P)]) end, ?SLOW),
                all_run(Node, Beams, Args),
                tb_lib:until(fun() -> Seen() > Before end),
                ok = ask(Node, {undrain, Drained}),
                N + 1
            end,
            0,
            [crash, nowhere, hang]
        ),
        ok = rpc:call(N1, tb_kid, placing, [last])
    end).

%% start_rate: those of the lost host come back so many a second, what somebody
%% asks for meanwhile does not wait, and all are there once in the end.
paced() ->
    with([h1, h2, h3], [{start_rate, 50}], fun(Node, [B1 | _] = Beams, _) ->
        Args = lists:seq(1, 300),
        Pids = start(Node, Args),
        N1 = tb_lib:node_of(B1),
        Lost = length([P || P <- Pids, node(P) =:= N1]),
        ?assert(Lost > 50),
        end_beam(B1),
        Rest = tl(Beams),
        %% before the first of them nothing counts
        tb_lib:until(fun() -> failovers(Node) > 0 end, ?SLOW),
        Begin = erlang:monotonic_time(millisecond),
        First = failovers(Node),
        {Us, {ok, New}} = timer:tc(fun() -> ask(Node, {start_child, spec(new)}) end),
        ?assert(lists:member(node(New), nodes_of(Rest))),
        %% an answer that had to wait for its turn would take a second and more
        ?assert(Us < 1000000),
        ?assert(failovers(Node) < Lost),
        ?assert(maps:get(waiting, ask(Node, info)) > 0),
        tb_lib:until(
            fun() ->
                Now = failovers(Node),
                Ms = erlang:monotonic_time(millisecond) - Begin,
                Allowed = First + 20 + 50 * Ms / 1000,
                Now =< Allowed orelse error({too_many, Now, Ms}),
                Now =:= Lost
            end,
            ?SLOW
        ),
        all_run(Node, Rest, [new | Args]),
        ?assertEqual(Lost, failovers(Node))
    end).

failovers(Node) ->
    #{counters := #{failovers := N}} = ask(Node, info),
    N.

%% One a second, till somebody is in a hurry: with one of them, and then with all.
paced_less() ->
    with([h1, h2], [{start_rate, 1}, {max_children, 100}], fun(Node, [B1 | _] = Beams, _) ->
        Specs = [#{id => N, start => {tb_kid, start_link, [N]}} || N <- lists:seq(1, 100)],
        Ids = [{Id, node(P)} || {Id, {ok, P}} <- lists:zip(lists:seq(1, 100), ask(Node, {start_children, Specs}))],
        N1 = tb_lib:node_of(B1),
        Lost = [Id || {Id, N} <- Ids, N =:= N1],
        end_beam(B1),
        tb_lib:until(fun() -> failovers(Node) > 0 end, ?SLOW),
        ok = ask(Node, {terminate_child, lists:last(Lost)}),
        ?assert(failovers(Node) < length(Lost)),
        ?assertEqual({error, max_children}, ask(Node, {start_child, spec(new)})),
        ok = ask(Node, {reconfigure, [{start_rate, infinity}]}),
        all_but(Node, tl(Beams), lists:seq(1, 100) -- [lists:last(Lost)])
    end).

all_but(_, Beams, Args) ->
    tb_lib:until_equal(Args, fun() -> running(Beams) end, ?SLOW),
    ?assertEqual(length(Args), lists:sum([kids(N) || N <- nodes_of(Beams)])).

only_host() ->
    with([h1], [], fun(Node, [H1], _) ->
        Args = lists:seq(1, 50),
        _ = start(Node, Args),
        end_beam(H1),
        Back = host(h1),
        join([Back], Node),
        all_run(Node, [Back], Args),
        end_beam(Back)
    end).

%% The other host is lost meanwhile, and there is none that takes copies.
still_host() ->
    with([h1, h2], [], fun(Node, [H1, H2], Daemon) ->
        _ = start(Node, lists:seq(1, 20)),
        N2 = tb_lib:node_of(H2),
        Sent = fun() ->
            #{nodes := #{N2 := #{bytes_out := Out, queued := Queued}}} = tb_lib:info(Node),
            Out + Queued
        end,
        tb_lib:signal(H2, "STOP"),
        try
            Before = Sent(),
            end_beam(H1),
            _ = tb_lib:wait_output(Daemon, "host.lost. node=h1"),
            Asked = [Sent() || _ <- lists:seq(1, 1000)],
            ?assert(lists:last(Asked) - Before < 200000)
        after
            tb_lib:signal(H2, "CONT")
        end,
        all_run(Node, [H2], lists:seq(1, 20))
    end).

%% Another tiebeam process does not know what is there: the others are up and empty, and
%% nothing is decided without it.
no_answer() ->
    Beams = hosts([h1, h2, h3]),
    First = daemon(zz_tiebeam, []),
    Node = tb_lib:node_of(First),
    join(Beams, Node),
    are_hosts(Node, Beams),
    [N1 | _] = nodes_of(Beams),
    Specs = [#{id => N, start => {tb_kid, start_link, [N]}} || N <- lists:seq(1, 30)],
    Pids = [P || {ok, P} <- ask(Node, {start_children, Specs})],
    {Spec, Pid} = hd([Both || {_, P} = Both <- lists:zip(Specs, Pids), node(P) =:= N1]),
    Holder = rpc:call(N1, tb_kid, hold, [tiebeam_host_jobs]),
    Last =
        try
            Second = again(First, []),
            join(Beams, Node),
            State = fun() -> maps:get(state, maps:get(N1, maps:get(hosts, info(Node)), #{state => none})) end,
            tb_lib:until_equal(no_answer, State, ?SLOW),
            Asked = gen_server:send_request({?NAME, Node}, {start_child, Spec}),
            ?assertEqual(timeout, gen_server:wait_response(Asked, 2000)),
            exit(Holder, kill),
            ?assertEqual({reply, {error, {already_started, Pid}}}, gen_server:wait_response(Asked, ?SLOW)),
            are_hosts(Node, Beams),
            ?assertEqual(lists:sort(Pids), pids(Node)),
            Second
        after
            exit(Holder, kill)
        end,
    tb_lib:stop(Last),
    lists:foreach(fun end_beam/1, Beams).

%% The supervisor is told that a host comes and goes, as another incarnation, while the only
%% node that can be asked whether it is gone stands still; asked about the one of before,
%% which is gone, it answers about the next one, which is there.
late_confirm() ->
    with([h1, h2], [], fun(Node, [H1, H2] = Beams, Daemon) ->
        N1 = tb_lib:node_of(H1),
        {Creation, _} = inc(Node, N1),
        Sup = tb_lib:pid_of(Node, ?NAME),
        Lost = fun() -> length(binary:matches(tb_lib:output(Daemon), <<"[host.lost] node=h1">>)) end,
        Up = fun(C) -> Sup ! {nodeup, N1, #{node_type => visible, creation => C}} end,
        Back = fun(N) ->
            tb_lib:until_equal({N, attached}, fun() -> {Lost(), maps:get(state, maps:get(N1, maps:get(hosts, info(Node))))} end)
        end,
        Up(Creation - 1),
        Back(1),
        %% each has something to acknowledge to the other
        [?assertEqual(ok, ask(Node, {terminate_child, P})) || P <- start(Node, lists:seq(1, 20))],
        until_safe(Node, Beams),
        tb_lib:signal(H2, "STOP"),
        try
            Sup ! {nodedown, N1, []},
            Up(Creation),
            Back(2),
            Sup ! {nodedown, N1, []},
            %% who does not answer is not waited for any longer
            pause(3000),
            ?assertEqual(2, Lost())
        after
            tb_lib:signal(H2, "CONT")
        end,
        Up(Creation),
        are_hosts(Node, Beams),
        _ = start(Node, lists:seq(1, 20)),
        all_run(Node, Beams, lists:seq(1, 20))
    end).

host_process() ->
    with([h1, h2], [], fun(Node, [H1, _] = Beams, _) ->
        Args = lists:seq(1, 200),
        _ = start(Node, Args),
        Host = tb_lib:pid_of(tb_lib:node_of(H1), tiebeam_host_jobs),
        exit(Host, kill),
        tb_lib:until(fun() -> not lists:member(tb_lib:pid_of(tb_lib:node_of(H1), tiebeam_host_jobs), [Host, undefined]) end),
        are_hosts(Node, Beams),
        all_run(Node, Beams, Args)
    end).

%% Nothing happens on the other host meanwhile. Then that one is lost, with all that
%% tiebeam knows: what is left are the copies.
backup_killed() ->
    backup_killed(fun(Daemon, Beams, Kill) ->
        Kill(),
        all_run(tb_lib:node_of(Daemon), Beams, lists:seq(1, 100)),
        Daemon
    end).

backup_killed_unseen() ->
    backup_killed(fun(Daemon, Beams, Kill) ->
        tb_lib:kill(Daemon),
        Kill(),
        Next = daemon(zz_tiebeam, [{auto_balance, false}]),
        join(Beams, tb_lib:node_of(Next)),
        Next
    end).

backup_killed(Loss) ->
    Beams = [H1, H2] = hosts([h1, h2]),
    Args = lists:seq(1, 100),
    First = daemon(zz_tiebeam, [{auto_balance, false}]),
    Node = tb_lib:node_of(First),
    [N1, N2] = nodes_of(Beams),
    join(Beams, Node),
    are_hosts(Node, Beams),
    _ = start(Node, Args),
    until_safe(Node, Beams),
    Idle = running_on(N1),
    ?assert(Idle =/= []),
    Host = tb_lib:pid_of(N2, tiebeam_host_jobs),
    Second = Loss(First, Beams, fun() -> exit(Host, kill) end),
    tb_lib:until(fun() -> not lists:member(tb_lib:pid_of(N2, tiebeam_host_jobs), [Host, undefined]) end, ?SLOW),
    until_safe(Node, Beams),
    all_run(Node, Beams, Args),
    ?assertEqual([], Idle -- running_on(N1)),
    tb_lib:kill(Second),
    end_beam(H1),
    Third = daemon(zz_tiebeam, []),
    join([H2], Node),
    are_hosts(Node, [H2]),
    all_run(Node, [H2], Args),
    tb_lib:stop(Third),
    end_beam(H2).

%% Before tiebeam sees the end of the one that it is attached to. What copies tell of
%% one that was there before starts elsewhere.
told_by_copies() ->
    with([h1, h2], [{auto_balance, false}], fun(Node, Beams, _) ->
        Args = lists:seq(1, 20),
        Pids = lists:sort(start(Node, Args)),
        [N1, N2] = nodes_of(Beams),
        {Creation, _} = inc(Node, N1),
        New = {Creation, <<"started+">>},
        {module, _} = rpc:call(N1, code, load_binary, [?MODULE, "", element(2, code:get_object_code(?MODULE))]),
        _ = sys:replace_state(tb_lib:pid_of(N1, tiebeam_host_jobs), fun(State) -> setelement(5, State, New) end),
        tell_copies(Node, N1, N2, New, new),
        tb_lib:until_equal(New, fun() -> inc(Node, N1) end, ?SLOW),
        _ = all_run(Node, Beams, Args),
        ?assertEqual(Pids, pids(Node)),
        tell_copies(Node, N1, N2, {Creation, <<"before++">>}, old),
        _ = all_run(Node, Beams, [old | Args]),
        %% it ends, and so has the one of which copies tell
        exit(tb_lib:pid_of(N1, tiebeam_host_jobs), kill),
        tell_copies(Node, N1, N2, {Creation, <<"between+">>}, between),
        _ = all_run(Node, Beams, [between, old | Args])
    end).

inc(Node, Host) ->
    maps:get(incarnation, maps:get(Host, maps:get(hosts, ask(Node, info)))).

%% As if the second host had them, of that incarnation of the first one.
tell_copies(Node, N1, N2, Inc, Arg) ->
    Spec = {dynamic, undefined, {tb_kid, start_link, [Arg]}, permanent, false, 5000, worker, [tb_kid]},
    Copies = {copies, N1, Inc, 1, [{{Node, 1, erlang:phash2(Arg)}, {1, []}, Spec, running}]},
    tb_lib:pid_of(Node, ?NAME) ! {tiebeam_host, ?NAME, N2, inc(Node, N2), 0, [Copies]}.

%% A word of the former backup comes late, and the host is lost with it. What the next
%% incarnation starts is in one place, until its own backup has it.
early_holder() ->
    with([h1], [], fun(Node, [H1], _) ->
        H2 = host(h2),
        [N1, N2] = nodes_of([H1, H2]),
        Old = inc(Node, N1),
        tb_lib:pid_of(Node, ?NAME) ! {tiebeam_copied, ?NAME, N2, N1, Old, 50000},
        exit(tb_lib:pid_of(N1, tiebeam_host_jobs), kill),
        tb_lib:until(fun() -> not lists:member(inc(Node, N1), [Old, none]) end, ?SLOW),
        join([H2], Node),
        are_hosts(Node, [H1, H2]),
        tb_lib:until_equal(N2, fun() -> maps:get(backup, maps:get(N1, maps:get(hosts, ask(Node, info)))) end, ?SLOW),
        ok = ask(Node, {drain, N2}),
        ok = sys:suspend({tiebeam_host_jobs, N2}),
        Req = gen_server:send_request({?NAME, Node}, {start_child, spec(one)}),
        tb_lib:until_equal([one], fun() -> running_on(N1) end, ?SLOW),
        ?assertEqual(timeout, gen_server:wait_response(Req, 1000)),
        ok = sys:resume({tiebeam_host_jobs, N2}),
        ?assertMatch({reply, {ok, _}}, gen_server:wait_response(Req, ?SLOW)),
        end_beam(H2)
    end).

%% A machine with a host and the only tiebeam goes in the middle of starts.
machine() ->
    Beams = [H1, H2, H3] = hosts([h1, h2, h3]),
    First = daemon(zz_tiebeam, []),
    Node = tb_lib:node_of(First),
    join(Beams, Node),
    are_hosts(Node, Beams),
    Reqs = [
        {N, gen_server:send_request({?NAME, Node}, {start_child, spec(N)})}
     || N <- lists:seq(1, 2000)
    ],
    pause(20 + rand:uniform(40)),
    tb_lib:kill(First),
    end_beam(H2),
    Acked = [N || {N, R} <- Reqs, {reply, {ok, _}} <- [gen_server:wait_response(R, ?SLOW)]],
    Second = daemon(zz_tiebeam, []),
    join([H1, H3], Node),
    are_hosts(Node, [H1, H3]),
    Running = settled(Node, [H1, H3], Acked),
    ?assertEqual(Running, lists:usort(Running)),
    tb_lib:stop(Second),
    _ = [end_beam(B) || B <- [H1, H3]].

held_name() ->
    with([h1, h2], [], fun(Node, Beams, _) ->
        [N1, N2] = nodes_of(Beams),
        tb_lib:until(fun() -> true =:= rpc:call(N1, net_kernel, connect_node, [N2]) end),
        tb_lib:until(fun() -> ok =:= rpc:call(N1, global, sync, []) end),
        Holder = rpc:call(N1, erlang, spawn, [tb_kid, loop, [holder]]),
        Spec = fun(N) -> {{tb_kid, named, [N]}, permanent, 5000, worker, [tb_kid]} end,
        Name = hd([N || N <- lists:seq(1, 1000), erlang:phash2(Spec(N), 2) =:= 1]),
        {ok, Pid} = ask(Node, {start_child, Spec(Name)}),
        ?assertEqual(N2, node(Pid)),
        %% the child ends, and somebody else has its name when it is to start again
        yes = rpc:call(N1, global, re_register_name, [Name, Holder]),
        exit(Pid, kill),
        tb_lib:until_equal([{undefined, restarting, worker, [tb_kid]}], fun() -> ask(Node, which_children) end),
        exit(Holder, kill),
        tb_lib:until(fun() -> is_pid(hd(pids(Node))) end),
        ?assertNotEqual(Pid, hd(pids(Node)))
    end).

named() ->
    with([h1, h2], [], fun(Node, Beams, _) ->
        S = {?NAME, Node},
        Ids = lists:seq(1, 40),
        _ = [{ok, _} = supervisor:start_child(S, #{id => I, start => {tb_kid, start_link, [I]}}) || I <- Ids],
        Stopped = lists:seq(1, 20),
        _ = [ok = supervisor:terminate_child(S, I) || I <- Stopped],
        [H1, H2] = lists:sort(fun(A, B) -> tb_lib:node_of(A) =< tb_lib:node_of(B) end, Beams),
        end_beam(H1),
        all_run_named(S, H2, Ids -- Stopped),
        ?assertEqual(
            Stopped,
            lists:sort([I || {I, undefined, _, _} <- supervisor:which_children(S)])
        ),
        _ = [?assertMatch({ok, _}, supervisor:restart_child(S, I)) || I <- Stopped],
        all_run_named(S, H2, Ids),
        _ = [ok = supervisor:terminate_child(S, I) || I <- Ids],
        _ = [ok = supervisor:delete_child(S, I) || I <- Ids],
        ?assertEqual([], supervisor:which_children(S))
    end).

all_run_named(S, Beam, Ids) ->
    tb_lib:until_equal(Ids, fun() -> running([Beam]) end, ?SLOW),
    tb_lib:until_equal(
        Ids,
        fun() -> lists:sort([I || {I, P, _, _} <- supervisor:which_children(S), is_pid(P)]) end,
        ?SLOW
    ).

%% ------------------------------------------------------------ a host joins

joined(Options) ->
    with([h1, h2, h3], [{settle_ms, 50} | Options], fun(Node, Beams, _) ->
        Args = lists:seq(1, 1000),
        Before = start(Node, Args),
        New = host(h4),
        join([New], Node),
        are_hosts(Node, [New | Beams]),
        Hosts = nodes_of([New | Beams]),
        Balances = proplists:get_value(auto_balance, Options, true),
        try
            tb_lib:until(fun() -> not Balances orelse [] =:= misplaced(Node, Hosts) end, ?SLOW),
            tb_lib:until(fun() -> is_settled(Node) end, ?SLOW),
            all_run(Node, [New | Beams], Args),
            After = pids(Node),
            {length(After -- Before), [{Arg, N} || N <- Hosts, Arg <- running_on(N)], Hosts}
        after
            end_beam(New)
        end
    end).

%% Those that are not where tiebeam says that they belong.
misplaced(Node, Hosts) ->
    [A || N <- Hosts, A <- running_on(N), ask(Node, {locate, spec(A)}) =/= N].

%% No more children move.
is_settled(Node) ->
    #{counters := #{moves := M}} = ask(Node, info),
    pause(300),
    #{counters := #{moves := M2}} = ask(Node, info),
    M =:= M2.

join_phash2() ->
    {Moved, Places, Hosts} = joined([]),
    ?assert(Moved > 0),
    Wrong = [A || {A, N} <- Places, N =/= tb_supervisor_tests:reference_locate(spec(A), Hosts)],
    ?assertEqual([], Wrong).

join_rendezvous() ->
    {Moved, Places, Hosts} = joined([{locator, rendezvous}]),
    ?assert(Moved =< 270),
    New = [A || {A, N} <- Places, N =:= lists:last(Hosts)],
    ?assertEqual(Moved, length(New)).

join_no_balance() ->
    {Moved, _, _} = joined([{auto_balance, false}]),
    ?assertEqual(0, Moved).

%% As in a rolling update: it gets its share all the same.
join_and_loss() ->
    with([h1, h2, h3], [{settle_ms, 2000}, {locator, rendezvous}], fun(Node, [H1, H2, H3] = Beams, _) ->
        Args = lists:seq(1, 200),
        _ = start(Node, Args),
        New = host(h4),
        join([New], Node),
        are_hosts(Node, [New | Beams]),
        end_beam(H2),
        Now = [H1, H3, New],
        are_hosts(Node, Now),
        tb_lib:until_equal([], fun() -> misplaced(Node, nodes_of(Now)) end, ?SLOW),
        all_run(Node, Now, Args),
        end_beam(New)
    end).

drain() ->
    with([h1, h2, h3], [{settle_ms, 50}], fun(Node, [H1, H2, H3] = Beams, _) ->
        Args = lists:seq(1, 300),
        _ = start(Node, Args),
        Drained = tb_lib:node_of(H2),
        ok = ask(Node, {drain, Drained}),
        ?assertEqual(nodes_of([H1, H3]), ask(Node, hosts)),
        tb_lib:until_equal([], fun() -> running_on(Drained) end, ?SLOW),
        all_run(Node, Beams, Args),
        {ok, Pid} = ask(Node, {start_child, spec(more)}),
        ?assertNotEqual(Drained, node(Pid)),
        ok = ask(Node, {undrain, Drained}),
        ?assertEqual(nodes_of(Beams), ask(Node, hosts)),
        ok = ask(Node, rebalance),
        tb_lib:until(fun() -> length(running_on(Drained)) > 50 end, ?SLOW),
        all_run(Node, Beams, [more | Args]),
        ?assertEqual({error, not_found}, ask(Node, {drain, nobody@nowhere}))
    end).

rolling() ->
    with([h1, h2, h3], [{settle_ms, 50}, {locator, rendezvous}], fun(Node, Beams, _) ->
        Args = lists:seq(1, 300),
        _ = start(Node, Args),
        Last = lists:foldl(
            fun(Name, Hosts) ->
                [Old] = [B || B <- Hosts, is_name(Name, tb_lib:node_of(B))],
                Old_node = tb_lib:node_of(Old),
                ok = ask(Node, {drain, Old_node}),
                tb_lib:until_equal([], fun() -> running_on(Old_node) end, ?SLOW),
                end_beam(Old),
                New = host(Name),
                join([New], Node),
                Now = [New | Hosts -- [Old]],
                are_hosts(Node, Now),
                all_run(Node, Now, Args),
                Now
            end,
            Beams,
            [h1, h2, h3]
        ),
        _ = [end_beam(B) || B <- Last]
    end).

is_name(Name, Node) ->
    lists:prefix(atom_to_list(Name), atom_to_list(Node)).

%% Each loss is made good before the next: what `safe' says.
second_loss() ->
    with([h1, h2, h3], [{auto_balance, false}], fun(Node, Beams, _) ->
        Args = lists:seq(1, 200),
        _ = start(Node, Args),
        Last = lists:foldl(
            fun(_, Hosts) ->
                [First, Second, Third] = [B || {_, B} <- lists:sort([{rand:uniform(), H} || H <- Hosts])],
                until_safe(Node, Hosts),
                end_beam(First),
                until_safe(Node, [Second, Third]),
                pause(rand:uniform(30) - 1),
                end_beam(Second),
                all_run(Node, [Third], Args),
                Names = [list_to_atom(lists:sublist(atom_to_list(N), 2)) || N <- nodes_of([First, Second])],
                New = [Third | hosts(Names)],
                join(New, Node),
                are_hosts(Node, New),
                ok = ask(Node, rebalance),
                tb_lib:until(fun() -> lists:all(fun(N) -> running_on(N) =/= [] end, nodes_of(New)) end, ?SLOW),
                all_run(Node, New, Args),
                New
            end,
            Beams,
            lists:seq(1, tb_lib:int_env("TB_ROUNDS", 20))
        ),
        _ = [end_beam(B) || B <- Last]
    end).

until_safe(Node, Beams) ->
    are_hosts(Node, Beams),
    tb_lib:until(fun() -> maps:get(safe, ask(Node, info)) end, ?SLOW).

%% As pods of a deployment: each new host has a name that was never there. A
%% drained host that goes leaves the set at once, and only its children move.
rolling_new_names() ->
    with([h1, h2, h3], [{settle_ms, 50}, {locator, rendezvous}], fun(Node, Beams, _) ->
        Args = lists:seq(1, 100),
        _ = start(Node, Args),
        Last = lists:foldl(
            fun(Name, [Old | Rest] = Hosts) ->
                New = host(Name),
                join([New], Node),
                are_hosts(Node, [New | Hosts]),
                tb_lib:until(fun() -> [] =:= misplaced(Node, nodes_of([New | Hosts])) end, ?SLOW),
                tb_lib:until(fun() -> is_settled(Node) end, ?SLOW),
                Before = pids(Node),
                Leaving = tb_lib:node_of(Old),
                ok = ask(Node, {drain, Leaving}),
                tb_lib:until_equal([], fun() -> running_on(Leaving) end, ?SLOW),
                end_beam(Old),
                Now = Rest ++ [New],
                tb_lib:until_equal(nodes_of(Now), fun() -> set(Node) end, ?SLOW),
                all_run(Node, Now, Args),
                ?assertEqual([], [P || P <- Before, node(P) =/= Leaving] -- pids(Node)),
                Now
            end,
            Beams,
            [p1, p2, p3]
        ),
        Strangers = fun() -> [X || N <- nodes_of(Last), X <- kept_for_others(N), not lists:member(X, nodes_of(Last))] end,
        tb_lib:until_equal([], Strangers, ?SLOW),
        _ = [end_beam(B) || B <- Last]
    end).

set(Node) ->
    maps:get(set, ask(Node, info)).

%% The nodes of which a host holds copies, and its tombstones.
kept_for_others(Node) ->
    State = rpc:call(Node, sys, get_state, [tiebeam_host_jobs]),
    [N || {N, _} <- maps:keys(element(13, State))] ++ maps:keys(element(11, State)).

%% None is drained, each is killed: what is kept is what the living need.
new_names() ->
    with([h1, h2, h3], [{forget_ms, 300}, {max_restarts, 1000}], fun(Node, Beams, _) ->
        {Last, Args} = lists:foldl(
            fun(Round, {[Old | Rest], Known}) ->
                New = host(list_to_atom("n" ++ integer_to_list(Round))),
                join([New], Node),
                are_hosts(Node, [New, Old | Rest]),
                More = [{Round, N} || N <- lists:seq(1, 10)],
                Pids = start(Node, More),
                end_beam(Old),
                _ = [ok = ask(Node, {terminate_child, P}) || P <- lists:sublist(Pids, 5), node(P) =/= tb_lib:node_of(Old)],
                Left = [A || {A, P} <- lists:zip(More, Pids), is_left(P, Pids, Old)],
                {Rest ++ [New], Known ++ Left}
            end,
            {Beams, []},
            lists:seq(1, tb_lib:int_env("TB_ROUNDS", 20))
        ),
        all_run(Node, Last, Args),
        tb_lib:until_equal(nodes_of(Last), fun() -> set(Node) end, ?SLOW),
        tb_lib:until_equal(0, fun() -> maps:get(tombstones, ask(Node, info)) end, ?SLOW),
        tb_lib:until_equal(
            [],
            fun() -> [X || N <- nodes_of(Last), X <- kept_for_others(N), not lists:member(X, nodes_of(Last))] end,
            ?SLOW
        ),
        %% those of whom nothing is kept are no longer shown
        tb_lib:until_equal(
            [],
            fun() -> [N || {N, #{state := down}} <- maps:to_list(maps:get(hosts, ask(Node, info)))] end,
            ?SLOW
        ),
        all_run(Node, Last, Args),
        _ = [end_beam(B) || B <- Last]
    end).

is_left(Pid, Pids, Old) ->
    not lists:member(Pid, lists:sublist(Pids, 5)) orelse node(Pid) =:= tb_lib:node_of(Old).

forget() ->
    with([h1, h2], [{forget_ms, infinity}], fun(Node, [H1, H2] = Beams, _) ->
        [N1, N2] = nodes_of(Beams),
        _ = start(Node, lists:seq(1, 20)),
        ?assertEqual({error, {connected, N2}}, ask(Node, {forget, N2})),
        ?assertEqual({error, not_found}, ask(Node, {forget, nobody@nowhere})),
        end_beam(H2),
        all_run(Node, [H1], lists:seq(1, 20)),
        ?assertEqual([N1, N2], set(Node)),
        ?assertEqual(ok, tiebeam_supervisor:forget({?NAME, Node}, N2)),
        ?assertEqual([N1], set(Node)),
        ?assertEqual({error, not_found}, ask(Node, {forget, N2})),
        Back = host(h2),
        join([Back], Node),
        are_hosts(Node, [H1, Back]),
        all_run(Node, [H1, Back], lists:seq(1, 20)),
        end_beam(Back)
    end).

%% Past the intensity the children of that host go elsewhere; without an
%% elsewhere the supervisor ends.
intensity_moves() ->
    with([h1, h2], [{max_restarts, 1}], fun(Node, Beams, _) ->
        Args = lists:seq(1, 40),
        _ = start(Node, Args),
        [First | _] = pids(Node),
        Bad = node(First),
        crash_on(Node, Bad),
        tb_lib:until_equal([], fun() -> running_on(Bad) end, ?SLOW),
        all_run(Node, Beams, Args),
        ?assertEqual(nodes_of(Beams) -- [Bad], ask(Node, hosts)),
        Ref = monitor(process, {?NAME, Node}),
        [Good] = nodes_of(Beams) -- [Bad],
        crash_on(Node, Good),
        receive
            {'DOWN', Ref, process, _, Reason} -> ?assertEqual(shutdown, Reason)
        after ?SLOW -> error(still_there)
        end,
        tb_lib:until_equal([], fun() -> running(Beams) end, ?SLOW),
        %% it is back, and empty
        are_hosts(Node, Beams),
        ?assertEqual([], pids(Node))
    end).

crash_on(Node, Host) ->
    _ = [exit(P, kill) || P <- lists:sublist([P || P <- pids(Node), node(P) =:= Host], 2)],
    ok.

%% ------------------------------------------------------- two tiebeam nodes

two() ->
    with([h1, h2], [], fun(Z, Beams, _) ->
        A_daemon = daemon(aa_tiebeam, []),
        A = tb_lib:node_of(A_daemon),
        join(Beams, A),
        are_hosts(A, Beams),
        %% the smaller name decides
        until_info(Z, #{owner => A}),
        until_info(A, #{owning => true, owner => A}),
        until_info(Z, #{owning => false, owner => A}),
        _ = start(Z, lists:seq(1, 100)),
        _ = start(A, lists:seq(101, 200)),
        tb_lib:until_equal(pids(A), fun() -> pids(Z) end),
        [P | _] = pids(Z),
        ok = ask(Z, {terminate_child, P}),
        ?assertEqual({error, not_found}, ask(Z, {terminate_child, P})),
        tb_lib:until_equal(199, fun() -> length(pids(Z)) end),
        Pids = pids(Z),
        %% the owner dies in the middle of what it was asked through the other
        Reqs = [gen_server:send_request({?NAME, Z}, {start_child, spec({late, N})}) || N <- lists:seq(1, 200)],
        tb_lib:kill(A_daemon),
        Results = [gen_server:wait_response(R, ?SLOW) || R <- Reqs],
        ?assertEqual([], [R || R <- Results, not is_ok(R)]),
        until_info(Z, #{owning => true}),
        tb_lib:until_equal(399, fun() -> length(pids(Z)) end),
        ?assertEqual([], Pids -- pids(Z)),
        Running = settled(Z, Beams, []),
        ?assertEqual(399, length(lists:usort(Running)))
    end).

%% Of hosts that one of them has heard of, the other hears by its own way.
until_info(Node, Expected) ->
    tb_lib:until_equal(Expected, fun() -> maps:with(maps:keys(Expected), info(Node)) end).

info(Node) ->
    case ask(Node, info) of
        Info when is_map(Info) -> Info;
        {exit, _} = Exit -> #{exit => Exit}
    end.

%% The one that decides stands still while a child waits for its back-off; the other one stops
%% the child by request. What the first one was about to do has no reason any more.
stopped_by_other() ->
    Options = [{backoff, {2000, 2000}}],
    with([h1], Options, fun(Z, Beams, _) ->
        A_daemon = daemon(aa_tiebeam, Options),
        A = tb_lib:node_of(A_daemon),
        join(Beams, A),
        until_info(Z, #{owner => A}),
        until_info(A, #{owning => true}),
        {ok, X} = ask(A, {start_child, #{id => x, start => {tb_kid, start_link, [x]}}}),
        exit(X, kill),
        tb_lib:until_equal([{x, restarting}], fun() -> [{I, P} || {I, P, _, _} <- ask(A, which_children)] end),
        tb_lib:signal(A_daemon, "STOP"),
        try
            until_info(Z, #{owning => true}),
            ?assertEqual(ok, ask(Z, {terminate_child, x}))
        after
            tb_lib:signal(A_daemon, "CONT")
        end,
        until_info(Z, #{owner => A, owning => false}),
        until_info(A, #{owning => true}),
        {ok, _} = ask(A, {start_child, spec(y)}),
        %% more than a back-off
        pause(3000),
        ?assertEqual([y], running(Beams)),
        ?assertMatch([{x, undefined}], [{I, P} || {x = I, P, _, _} <- ask(A, which_children)]),
        tb_lib:stop(A_daemon)
    end).

%% What was passed on to it is done by the next one, and once.
owner_stands_still() ->
    with([h1, h2], [], fun(Z, Beams, _) ->
        A_daemon = daemon(aa_tiebeam, []),
        A = tb_lib:node_of(A_daemon),
        join(Beams, A),
        until_info(Z, #{owner => A}),
        until_info(A, #{owning => true}),
        [{ok, _} = ask(A, {start_child, #{id => I, start => {tb_kid, start_link, [I]}}}) || I <- [x, y]],
        ok = ask(A, {terminate_child, x}),
        Args = lists:seq(1, 20),
        tb_lib:signal(A_daemon, "STOP"),
        try
            Asked = [{restart_child, x}, {terminate_child, y} | [{start_child, spec(N)} || N <- Args]],
            Reqs = [gen_server:send_request({?NAME, Z}, R) || R <- Asked],
            [X, Y | Started] = [gen_server:wait_response(R, ?SLOW) || R <- Reqs],
            ?assertMatch({{reply, {ok, _}}, {reply, ok}}, {X, Y}),
            ?assertEqual([], [R || R <- Started, not is_ok(R)])
        after
            tb_lib:signal(A_daemon, "CONT")
        end,
        until_info(Z, #{owner => A, owning => false}),
        until_info(A, #{owning => true}),
        {ok, _} = ask(A, {start_child, spec(last)}),
        Expected = lists:sort([x, last | Args]),
        tb_lib:until_equal(Expected, fun() -> running(Beams) end, ?SLOW),
        tb_lib:stop(A_daemon)
    end).

differ() ->
    with([h1], [], fun(Z, Beams, _) ->
        A_daemon = daemon(aa_tiebeam, [{max_restarts, 7}]),
        A = tb_lib:node_of(A_daemon),
        join(Beams, A),
        until_info(A, #{options_differ => true}),
        until_info(A, #{owning => false, owner => Z}),
        ?assertMatch({ok, _}, ask(A, {start_child, spec(a)})),
        tb_lib:stop(A_daemon)
    end).

%% Callers of {global, Name} on a host reach one of two tiebeam nodes; when its
%% supervisor ends, or the node, the other.
global_name() ->
    with([h1, h2], [{global, true}], fun(Z, Beams, _) ->
        [H | _] = nodes_of(Beams),
        Holder = fun() -> rpc:call(H, global, whereis_name, [?NAME]) end,
        Until = fun(Node) ->
            tb_lib:until(fun() ->
                Pid = Holder(),
                is_pid(Pid) andalso node(Pid) =:= Node
            end)
        end,
        Until(Z),
        A_daemon = daemon(aa_tiebeam, [{global, true}]),
        A = tb_lib:node_of(A_daemon),
        join(Beams, A),
        are_hosts(A, Beams),
        %% the next holder is the next member of one cluster
        ok = tb_lib:call(A, {connect, Z}),
        [tb_lib:until_equal(2, fun() -> length(seats(N)) end) || N <- [A, Z]],
        {ok, P} = rpc:call(H, supervisor, start_child, [{global, ?NAME}, spec(a)]),
        tb_lib:until_equal([P], fun() ->
            [C || {_, C, worker, _} <- rpc:call(H, supervisor, which_children, [{global, ?NAME}])]
        end),
        exit(Holder(), kill),
        Until(A),
        are_hosts(Z, Beams),
        ?assertMatch({ok, _}, rpc:call(H, supervisor, start_child, [{global, ?NAME}, spec(b)], ?SLOW)),
        [tb_lib:until_equal(2, fun() -> length(seats(N)) end) || N <- [A, Z]],
        tb_lib:kill(A_daemon),
        Until(Z),
        ?assertMatch({ok, _}, rpc:call(H, supervisor, start_child, [{global, ?NAME}, spec(c)], ?SLOW)),
        tb_lib:until_equal(3, fun() -> length(pids(Z)) end),
        ?assert(lists:member(P, pids(Z)))
    end).

seats(Node) ->
    gen_server:call({process_cluster, Node}, {mod_plist, ?NAME, supervisor}, ?SLOW).

stop() ->
    with([h1, h2], [], fun(Z, Beams, _) ->
        A_daemon = daemon(aa_tiebeam, []),
        A = tb_lib:node_of(A_daemon),
        join(Beams, A),
        are_hosts(A, Beams),
        _ = start(Z, lists:seq(1, 100)),
        RefA = monitor(process, {?NAME, A}),
        _ = ask(A, hosts), % it knows that it is watched
        ok = gen_server:stop({?NAME, Z}, shutdown, ?SLOW),
        receive
            {'DOWN', RefA, process, _, _} -> ok
        after ?SLOW -> error(still_there)
        end,
        ?assertEqual([], running(Beams)),
        are_hosts(Z, Beams),
        are_hosts(A, Beams),
        tb_lib:until_equal([], fun() -> pids(Z) end),
        _ = start(Z, [1, 2, 3]),
        all_run(Z, Beams, [1, 2, 3]),
        tb_lib:stop(A_daemon)
    end).

%% It is told of the generation that was closed, and what starts there at the same
%% time is of the next one.
new_after_stop() ->
    with([h1], [{start_rate, 50}], fun(Node, [H1] = Beams, _) ->
        ok = gen_server:stop({?NAME, Node}, shutdown, ?SLOW),
        are_hosts(Node, Beams),
        Args = lists:seq(1, 100),
        _ = start(Node, Args),
        end_beam(H1),
        tb_lib:until_equal([], fun() -> ask(Node, hosts) end, ?SLOW),
        Back = host(h1),
        join([Back], Node),
        Asked = [{asked, N} || N <- lists:seq(1, 20)],
        _ = start(Node, Asked),
        all_run(Node, [Back], Args ++ Asked),
        end_beam(Back)
    end).

%% --------------------------------------------------------- every call ends

every_call() ->
    with([h1, h2, h3], [{max_restarts, 100000}], fun(Node, Beams, _) ->
        Self = self(),
        Callers = [spawn_link(fun() -> caller(Self, Node, N, []) end) || N <- lists:seq(1, 8)],
        Last = lists:foldl(
            fun(_, Hosts) ->
                pause(300),
                Victim = lists:nth(rand:uniform(length(Hosts)), Hosts),
                Name = list_to_atom(lists:sublist(atom_to_list(tb_lib:node_of(Victim)), 2)),
                end_beam(Victim),
                pause(100),
                New = host(Name),
                join([New], Node),
                [New | Hosts -- [Victim]]
            end,
            Beams,
            lists:seq(1, tb_lib:int_env("TB_ROUNDS", 4))
        ),
        _ = [C ! stop || C <- Callers],
        Known = lists:append([
            receive
                {C, Kept} -> Kept
            after ?SLOW -> error(a_call_does_not_end)
            end
         || C <- Callers
        ]),
        are_hosts(Node, Last),
        all_run(Node, Last, Known),
        _ = [end_beam(B) || B <- Last]
    end).

%% Starts and stops children of its own; keeps the arguments of those that have
%% to run.
caller(Parent, Node, Id, Kept) ->
    receive
        stop -> Parent ! {self(), [A || {A, _} <- Kept]}
    after 0 ->
        case rand:uniform(4) of
            1 when Kept =/= [] ->
                [{Arg, _} | Rest] = Kept,
                ok = remove(Node, Arg),
                caller(Parent, Node, Id, Rest);
            2 ->
                [{specs, _} | _] = ask(Node, count_children),
                caller(Parent, Node, Id, Kept);
            _ ->
                Arg = {Id, erlang:unique_integer()},
                {ok, Pid} = ask(Node, {start_child, #{id => Arg, start => {tb_kid, start_link, [Arg]}}}),
                caller(Parent, Node, Id, Kept ++ [{Arg, Pid}])
        end
    end.

remove(Node, Id) ->
    {ok, _} = {ask(Node, {terminate_child, Id}), Id},
    {ok, _} = {ask(Node, {delete_child, Id}), {id, Id}},
    ok.
