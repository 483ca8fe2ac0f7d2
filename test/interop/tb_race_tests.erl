%% tb_race_tests - many processes monitor, link, and take it back, on services
%% and on processes that end meanwhile, in random order. Each keeps account of
%% the signals it may get: every one comes, once, and no other.
%%
%% TB_RACES is the number of steps, each with a monitor and a link; TB_SEED
%% repeats a run.
-module(tb_race_tests).
-include_lib("eunit/include/eunit.hrl").

-define(TIMEOUT, 3600).
-define(WORKERS, 16).
-define(SERVICES, [tiebeam, net_kernel, tiebeam_sup]).

-record(worker, {
    node :: node(),
    services :: [pid()],
    %% on services: nothing may come of these
    monitors = [] :: [reference()],
    links = [] :: [pid()],
    %% on processes that end: one signal each, with one of these reasons
    downs = #{} :: #{reference() => {pid(), [term()]}},
    exits = #{} :: #{pid() => [term()]}
}).

-spec race_test_() -> tuple().
race_test_() ->
    {setup, fun setup/0, fun cleanup/1, fun({_, Daemon}) ->
        [
            {timeout, ?TIMEOUT, {Title, fun() -> Case(Daemon, tb_lib:node_of(Daemon)) end}}
         || {Title, Case} <- tb_lib:chosen(cases())
        ]
    end}.

setup() ->
    Epmd = tb_lib:join(race),
    {Epmd, tb_lib:daemon(tb, #{config => tb_lib:still()})}.

cleanup({Epmd, Daemon}) ->
    tb_lib:stop(Daemon),
    tb_lib:leave(Epmd).

cases() ->
    [
        {"monitors and links in random order", fun random_steps/2},
        {"link and unlink of one process by many", fun many_links/2},
        {"processes that end with all they watch", fun watchers_end/2}
    ].

%% ------------------------------------------------------------- random steps

random_steps(Daemon, N) ->
    Total = tb_lib:int_env("TB_RACES", 20000),
    Seed = tb_lib:int_env("TB_SEED", erlang:unique_integer([positive]) + os:system_time(second)),
    io:format("TB_SEED=~B~n", [Seed]),
    pong = net_adm:ping(N),
    Services = [tb_lib:pid_of(N, Name) || Name <- ?SERVICES],
    Base = tb_lib:tables(N),
    Fds = tb_lib:fds(Daemon),
    %% while rex is suspended, what is spawned to ask it stays until killed
    ok = sys:suspend({rex, N}),
    Workers = [
        spawn_monitor(fun() -> work(N, Services, Seed + I, Total div ?WORKERS) end)
     || I <- lists:seq(1, ?WORKERS)
    ],
    Ends = [
        receive
            {'DOWN', Ref, process, Pid, Reason} -> Reason
        end
     || {Pid, Ref} <- Workers
    ],
    ok = sys:resume({rex, N}),
    ?assertEqual(lists:duplicate(?WORKERS, normal), Ends),
    tb_lib:until_equal(Base, fun() -> tb_lib:tables(N) end),
    ?assertEqual(Services, [tb_lib:pid_of(N, Name) || Name <- ?SERVICES]),
    ?assertEqual(Fds, tb_lib:fds(Daemon)).

work(N, Services, Seed, Steps) ->
    process_flag(trap_exit, true),
    _ = rand:seed(exsss, Seed),
    settle(steps(#worker{node = N, services = Services}, Steps)).

steps(W, 0) ->
    W;
steps(W, Left) ->
    Next =
        case rand:uniform(4) of
            1 -> on_mortal(monitor_service(W));
            2 -> on_mortal(link_service(W));
            3 -> monitor_service(link_service(W));
            4 -> on_mortal(on_mortal(W))
        end,
    steps(take_signals(Next), Left - 1).

one_of(List) ->
    lists:nth(rand:uniform(length(List)), List).

%% On a service: monitored or linked, or taken back.
monitor_service(#worker{monitors = Refs} = W) ->
    case Refs =/= [] andalso (length(Refs) > 20 orelse rand:uniform(2) =:= 1) of
        true ->
            Ref = one_of(Refs),
            true = demonitor(Ref, [flush]),
            W#worker{monitors = lists:delete(Ref, Refs)};
        false ->
            Target =
                case rand:uniform(2) of
                    1 -> one_of(W#worker.services);
                    2 -> {one_of(?SERVICES), W#worker.node}
                end,
            W#worker{monitors = [monitor(process, Target) | Refs]}
    end.

link_service(#worker{links = Links} = W) ->
    Pid = one_of(W#worker.services),
    case lists:member(Pid, Links) of
        true ->
            true = unlink(Pid),
            W#worker{links = lists:delete(Pid, Links)};
        false ->
            true = link(Pid),
            W#worker{links = [Pid | Links]}
    end.

%% A process that ends: by itself, undefined, or killed in the end.
on_mortal(W) ->
    {F, A, Reasons, Ends} = one_of([
        {{tiebeam, echo}, [x], [normal], by_itself},
        {{nomod, nofun}, [1], [{undef, [{nomod, nofun, [1], []}]}], by_itself},
        {{erlang, node}, [], [], killed}
    ]),
    {Pid, Started} = start_mortal(W, F, A, Reasons),
    Sent = script(Started, Pid, Reasons, rand:uniform(6)),
    Ends =:= killed andalso exit(Pid, kill),
    Extra =
        case Ends of
            killed -> [killed];
            by_itself -> []
        end,
    allow(Sent, Pid, Extra).

start_mortal(#worker{node = N} = W, {M, F}, A, Reasons) ->
    case rand:uniform(5) of
        1 ->
            {spawn(N, M, F, A), W};
        2 ->
            {Pid, Ref} = spawn_monitor(N, M, F, A),
            {Pid, add_down(W, Ref, Pid, Reasons)};
        3 ->
            Pid = spawn_link(N, M, F, A),
            {Pid, add_exit(W, Pid, Reasons)};
        4 ->
            {Pid, Ref} = spawn_opt(N, M, F, A, [link, monitor]),
            {Pid, add_exit(add_down(W, Ref, Pid, Reasons), Pid, Reasons)};
        5 ->
            ReqId = spawn_request(N, M, F, A, [{reply_tag, started}]),
            receive
                {started, ReqId, ok, Pid} -> {Pid, W}
            end
    end.

script(W, _, _, 0) ->
    W;
script(W, Pid, Reasons, Left) ->
    Next =
        case rand:uniform(7) of
            1 -> add_down(W, monitor(process, Pid), Pid, [noproc | Reasons]);
            2 -> drop_down(W, Pid);
            3 -> relink(W, Pid, [noproc | Reasons]);
            4 -> drop_exit(W, Pid);
            5 -> send_exit(W, Pid, {reason, rand:uniform(3)});
            6 -> send_exit(W, Pid, normal);
            7 -> take_signals(W)
        end,
    script(Next, Pid, Reasons, Left - 1).

%% The reason counts for what is watched now or later.
send_exit(W, Pid, Reason) ->
    exit(Pid, Reason),
    allow(W, Pid, [Reason || Reason =/= normal]).

allow(W, Pid, More) ->
    Downs = maps:map(
        fun
            (_, {P, Reasons}) when P =:= Pid -> {P, More ++ Reasons};
            (_, Other) -> Other
        end,
        W#worker.downs
    ),
    Exits =
        case W#worker.exits of
            #{Pid := Reasons} = All -> All#{Pid := More ++ Reasons};
            All -> All
        end,
    W#worker{downs = Downs, exits = Exits}.

%% A process that has been sent an exit may end with it, if it is not dead yet.
add_down(W, Ref, Pid, Reasons) ->
    W#worker{downs = (W#worker.downs)#{Ref => {Pid, sent() ++ Reasons}}}.

add_exit(W, Pid, Reasons) ->
    W#worker{exits = (W#worker.exits)#{Pid => sent() ++ Reasons}}.

sent() ->
    [{reason, I} || I <- [1, 2, 3]].

%% An EXIT that came before is taken, so that the new link's is told apart.
relink(W, Pid, Reasons) ->
    Unlinked = drop_exit(W, Pid),
    true = link(Pid),
    add_exit(Unlinked, Pid, Reasons).

drop_exit(W, Pid) ->
    true = unlink(Pid),
    receive
        {'EXIT', Pid, _} -> ok
    after 0 -> ok
    end,
    W#worker{exits = maps:remove(Pid, W#worker.exits)}.

drop_down(W, Pid) ->
    case [Ref || {Ref, {P, _}} <- maps:to_list(W#worker.downs), P =:= Pid] of
        [] ->
            W;
        Refs ->
            Ref = one_of(Refs),
            true = demonitor(Ref, [flush]),
            W#worker{downs = maps:remove(Ref, W#worker.downs)}
    end.

%% --------------------------------------------------------------- accounts

take_signals(W) ->
    receive
        Message -> take_signals(account(W, Message))
    after 0 -> W
    end.

account(#worker{downs = Downs} = W, {'DOWN', Ref, process, Pid, Reason}) when
    is_map_key(Ref, Downs)
->
    {Pid, Reasons} = maps:get(Ref, Downs),
    lists:member(Reason, Reasons) orelse exit({wrong_reason, Reason, Reasons}),
    W#worker{downs = maps:remove(Ref, Downs)};
account(#worker{exits = Exits} = W, {'EXIT', Pid, Reason}) when is_map_key(Pid, Exits) ->
    Reasons = maps:get(Pid, Exits),
    lists:member(Reason, Reasons) orelse exit({wrong_reason, Reason, Reasons}),
    W#worker{exits = maps:remove(Pid, Exits)};
account(_, Message) ->
    exit({wrong_signal, Message}).

%% All that is owed comes; then, after an answer of the daemon, nothing more.
settle(#worker{downs = Downs, exits = Exits} = W) when
    map_size(Downs) + map_size(Exits) > 0
->
    receive
        Message -> settle(account(W, Message))
    after 60000 -> exit({still_owed, Downs, Exits})
    end;
settle(W) ->
    _ = [link_known(W#worker.node, Pid) || Pid <- W#worker.services],
    _ = [true = unlink(Pid) || Pid <- W#worker.services],
    _ = [true = demonitor(Ref, [flush]) || Ref <- W#worker.monitors],
    _ = [tb_lib:call(W#worker.node, {echo, I}) || I <- [1, 2, 3]],
    case tb_lib:flush() of
        [] -> ok;
        Messages -> exit({wrong_signals, Messages})
    end.

%% A link that this VM knows of. OTP 24 and later now and then forget one that
%% is made again while its unlink is not acknowledged yet, and tell neither of
%% its end nor of its unlink (the same between two BEAMs).
link_known(N, Pid) ->
    _ = tb_lib:call(N, {echo, acknowledged}),
    true = link(Pid),
    _ = tb_lib:call(N, {echo, linked}).

%% ------------------------------------------------------------ other races

%% Every process links and unlinks the same service, and ends linked or not.
many_links(_, N) ->
    pong = net_adm:ping(N),
    Pid = tb_lib:pid_of(N, tiebeam),
    Base = tb_lib:tables(N),
    Workers = [
        spawn_monitor(fun() ->
            process_flag(trap_exit, true),
            _ = [link(Pid) andalso unlink(Pid) || _ <- lists:seq(1, 200)],
            link_known(N, Pid),
            I rem 2 =:= 0 orelse unlink(Pid),
            _ = tb_lib:call(N, {echo, I}),
            [] = tb_lib:flush(),
            exit({ended, I})
        end)
     || I <- lists:seq(1, 50)
    ],
    [
        receive
            {'DOWN', Ref, process, P, Reason} -> ?assertMatch({ended, _}, Reason)
        end
     || {P, Ref} <- Workers
    ],
    tb_lib:until_equal(Base, fun() -> tb_lib:tables(N) end),
    ?assertEqual(Pid, tb_lib:pid_of(N, tiebeam)).

%% Watchers that end in any state, and spawned ones whose parents are gone.
watchers_end(_, N) ->
    pong = net_adm:ping(N),
    Base = tb_lib:tables(N),
    Services = [tb_lib:pid_of(N, Name) || Name <- ?SERVICES],
    Workers = [
        spawn_monitor(fun() ->
            _ = [monitor(process, P) || P <- Services],
            _ = [link(P) || P <- Services],
            _ = spawn_request(N, tiebeam, echo, [x], [monitor, {reply, no}]),
            _ = spawn_request(N, tiebeam, echo, [x], [link, monitor]),
            _ = gen_server:send_request({tiebeam, N}, {echo, x}),
            exit(element(I rem 3 + 1, {normal, kill, {shutdown, I}}))
        end)
     || I <- lists:seq(1, 500)
    ],
    [
        receive
            {'DOWN', Ref, process, P, _} -> ok
        end
     || {P, Ref} <- Workers
    ],
    tb_lib:until_equal(Base, fun() -> tb_lib:tables(N) end),
    ?assertEqual(Services, [tb_lib:pid_of(N, Name) || Name <- ?SERVICES]).
