%% tb_memory_tests - what a supervisor costs in the long run: children that
%% start and stop, starts that are refused, and one that crashes for ever leave
%% the memory of the daemon as it was. TB_STARTS: how many start and stop (ten
%% times as many are refused).
-module(tb_memory_tests).
-include_lib("eunit/include/eunit.hrl").

-define(NAME, jobs).
-define(SLOW, 60000).
%% requests at the same time
-define(WIDTH, 100).

-spec memory_test_() -> tuple().
memory_test_() ->
    {setup, fun setup/0, fun cleanup/1, fun(_) ->
        [
            {timeout, 120 + starts() div 100, {Title, Case}}
         || {Title, Case} <- tb_lib:chosen(cases())
        ]
    end}.

setup() ->
    tb_lib:join(aa_memory).

cleanup(Epmd) ->
    tb_lib:leave(Epmd).

cases() ->
    [
        {"starts and stops, and starts that are refused", fun cycles/0},
        {"one that crashes for ever beside 999 others", fun crashing/0}
    ].

starts() ->
    tb_lib:int_env("TB_STARTS", 3000).

%% ----------------------------------------------------------------- helpers

%% Two hosts, so that there are copies.
with(Options, Fun) ->
    Config = [{tiebeam, [{discovery, []}, {supervisors, [{?NAME, [{hosts, all} | Options]}]}]}],
    Beams = [host(N) || N <- [h1, h2]],
    Nodes = lists:sort([tb_lib:node_of(B) || B <- Beams]),
    try
        tb_lib:with_daemon(zz_tiebeam, #{config => Config}, fun(Daemon, Node) ->
            _ = [rpc:call(N, net_kernel, connect_node, [Node]) || N <- Nodes],
            tb_lib:until_equal(Nodes, fun() -> gen_server:call({?NAME, Node}, hosts) end),
            Fun(Daemon, Node)
        end)
    after
        lists:foreach(fun tb_lib:end_beam/1, Beams)
    end.

host(Name) ->
    Beam = tb_lib:beam(Name, #{args => ["-kernel", "logger_level", "none"]}),
    Node = tb_lib:node_of(Beam),
    {module, _} = rpc:call(Node, code, ensure_loaded, [tb_kid]),
    true = rpc:call(Node, code, del_path, [filename:dirname(code:which(?MODULE))]),
    Beam.

%% KiB
rss(Daemon) ->
    {ok, Text} = file:read_file("/proc/" ++ integer_to_list(tb_lib:os_pid(Daemon)) ++ "/statm"),
    [_, Pages | _] = string:split(binary_to_list(Text), " ", all),
    4 * list_to_integer(Pages).

ask(Node, Request) ->
    gen_server:call({?NAME, Node}, Request, ?SLOW).

each(Node, Requests) ->
    Ids = [gen_server:send_request({?NAME, Node}, R) || R <- Requests],
    [
        case gen_server:wait_response(Id, ?SLOW) of
            {reply, Reply} -> Reply
        end
     || Id <- Ids
    ].

dynamic(Arg, Restart) ->
    {{tb_kid, start_link, [Arg]}, Restart, 5000, worker, [tb_kid]}.

named(Id) ->
    #{id => Id, start => {tb_kid, start_link, [Id]}}.

%% ------------------------------------------------------------------- cycles

%% A round starts and stops ?WIDTH children, and is refused ten times as many.
round(Node, N) ->
    Dynamic = [dynamic({N, I}, permanent) || I <- lists:seq(1, ?WIDTH div 2)],
    Named = [named({N, I}) || I <- lists:seq(1, ?WIDTH div 2)],
    Started = [P || {ok, P} <- each(Node, [{start_child, S} || S <- Dynamic])],
    ?assertEqual(length(Dynamic), length(Started)),
    [{ok, _} = R || R <- each(Node, [{start_child, S} || S <- Named])],
    refused(Node, N),
    ok = all_ok(each(Node, [{terminate_child, P} || P <- Started])),
    ok = all_ok(each(Node, [{terminate_child, {N, I}} || I <- lists:seq(1, ?WIDTH div 2)])),
    ok = all_ok(each(Node, [{delete_child, {N, I}} || I <- lists:seq(1, ?WIDTH div 2)])).

all_ok(Replies) ->
    case lists:usort(Replies) of
        [ok] -> ok;
        Other -> error(Other)
    end.

%% By its form, by its id, by its start function on a host.
refused(Node, N) ->
    Bad = [{{tb_kid, start_link, x}, permanent, 5000, worker, [tb_kid]}, named({N, 1})],
    Failing = [
        {{tb_kid, start, [Outcome]}, permanent, 5000, worker, [tb_kid]}
     || Outcome <- [{error, no}, {crash, no}, ignore]
    ],
    Specs = lists:append(lists:duplicate(2 * ?WIDTH, Bad ++ Failing)),
    Replies = ask(Node, {start_children, Specs}),
    ?assertEqual([], [R || {ok, _} = R <- Replies]),
    ?assertEqual(10 * ?WIDTH, length(Replies)).

cycles() ->
    with([], fun(Daemon, Node) ->
        Rounds = starts() div ?WIDTH,
        %% the C library keeps some pieces of each size for the next time
        _ = [round(Node, N) || N <- lists:seq(1, max(10, Rounds div 10))],
        Before = settled(Daemon),
        _ = [round(Node, N) || N <- lists:seq(1, Rounds)],
        After = settled(Daemon),
        ?assertEqual([{specs, 0}, {active, 0}, {supervisors, 0}, {workers, 0}], ask(Node, count_children)),
        starts() > 3000 andalso
            io:format(user, "~B starts, ~B refused: from ~B to ~B KiB~n", [starts(), 10 * starts(), Before, After]),
        tb_lib:is_sanitized(Daemon) orelse ?assert(After =< Before * 1.05)
    end).

%% The least that it has, while it gives back what is free.
settled(Daemon) ->
    settled(Daemon, rss(Daemon), erlang:monotonic_time(millisecond) + 4000).

settled(Daemon, Least, End) ->
    case erlang:monotonic_time(millisecond) < End of
        true ->
            receive
            after 100 -> ok
            end,
            settled(Daemon, min(Least, rss(Daemon)), End);
        false ->
            Least
    end.

%% ----------------------------------------------------- one that always fails

%% It ends at once, each time, and the others run on and are served.
crashing() ->
    with([{backoff, {1, 20}}], fun(Daemon, Node) ->
        Healthy = ask(Node, {start_children, [dynamic(N, permanent) || N <- lists:seq(1, 999)]}),
        Pids = lists:sort([P || {ok, P} <- Healthy]),
        ?assertEqual(999, length(Pids)),
        Before = settled(Daemon),
        Crash = {{tb_kid, start_link, [crash]}, permanent, 5000, worker, [tb_kid]},
        {ok, First} = ask(Node, {start_child, Crash}),
        Restarts = fun() -> maps:get(restarts, maps:get(counters, ask(Node, info))) end,
        crash(Node, Pids, First, Restarts, starts() div 30),
        %% nobody else was started again
        ?assertEqual([], Pids -- all_pids(Node)),
        _ = [?assert(tb_lib:alive(P)) || P <- Pids],
        After = settled(Daemon),
        tb_lib:is_sanitized(Daemon) orelse ?assert(After =< Before * 1.05)
    end).

all_pids(Node) ->
    lists:sort([P || {_, P, _, _} <- ask(Node, which_children), is_pid(P)]).

%% Ended as soon as it is seen, so many times.
crash(Node, Pids, Pid, Restarts, Times) ->
    exit(Pid, kill),
    Sample = lists:nth(rand:uniform(length(Pids)), Pids),
    Sample ! {arg, self()},
    receive
        {Sample, N} when is_integer(N) -> ok
    after 60000 -> error(no_answer)
    end,
    case Restarts() of
        Enough when Enough >= Times -> ok;
        _ -> crash(Node, Pids, next(Node, Pids, Pid), Restarts, Times)
    end.

next(Node, Pids, Old) ->
    case all_pids(Node) -- Pids of
        [Pid] when Pid =/= Old -> Pid;
        _ -> next(Node, Pids, Old)
    end.
