%% tb_chaos_tests - many children, many kills, many calls: how a supervisor
%% stands what happens at any moment. `make chaos` runs it at its full length.
%%
%%   TB_KILLS    how often tiebeam is killed
%%   TB_MANY     children that a host is lost with, and that one joins
%%   TB_CALLS    calls while hosts are killed
%%   TB_MACHINES how often a host is lost in the middle of starts, alone and
%%               with tiebeam
%%   TB_ROLLED   children in a rolling restart
%%   TB_SEED     what is random, as it was
-module(tb_chaos_tests).
-include_lib("eunit/include/eunit.hrl").

-define(TIMEOUT, 1800).
-define(SLOW, 30000).
%% A call ends after 15 s at the latest.
-define(BOUND, 17000).

-spec chaos_test_() -> tuple().
chaos_test_() ->
    {setup, fun() -> tb_lib:join(aa_chaos) end, fun tb_lib:leave/1, [
        {timeout, ?TIMEOUT, {Title, fun() -> tb_jobs:ending_all(Case) end}}
     || {Title, Case} <- tb_lib:chosen(cases())
    ]}.

cases() ->
    [
        {"every request ends, and was true", fun every_request/0},
        {"a host is lost in the middle of starts", fun host_lost/0},
        {"a machine is lost with the only tiebeam, in the middle of starts", fun machine_lost/0},
        {"tiebeam is killed at any moment", fun crash_only/0},
        {"a host of many children is lost", fun many_lost/0},
        {"a host joins many children: rendezvous", fun many_rendezvous/0},
        {"a host joins many children: phash2", fun many_phash2/0},
        {"a rolling restart, nothing moves back", fun rolling/0},
        {"a rolling restart, with balance", fun rolling_balanced/0}
    ].

say(Format, Args) ->
    io:format(user, "  " ++ Format ++ "~n", Args).

%% Where it went wrong is told with what happened.
at(Where, Fun) ->
    try
        Fun()
    catch
        Class:Reason:Stack -> erlang:raise(Class, {Where, Reason}, Stack)
    end.

ms_since(Start) ->
    erlang:monotonic_time(millisecond) - Start.

now_ms() ->
    erlang:monotonic_time(millisecond).

%% ------------------------------------------------- every request is true

%% Callers keep account of what they were told; hosts are killed meanwhile, one
%% or two at once, and new ones started, under the old name or another.
every_request() ->
    Seed = tb_jobs:seed(),
    Calls = tb_lib:int_env("TB_CALLS", 1500),
    tb_jobs:with([h1, h2, h3, h4], [], fun(Node, Beams, _) ->
        Self = self(),
        Callers = [spawn_link(fun() -> caller(Self, Node, Calls div 8) end) || _ <- lists:seq(1, 8)],
        {Last, Killed, Accounts} = kill_hosts(Node, Beams, Callers, [], 0),
        Account = lists:append(Accounts),
        say("TB_SEED=~w: ~w calls, ~w hosts killed, slowest call ~w ms; answers: ~w", [
            Seed, length(Account), Killed, lists:max([Ms || {_, _, _, Ms} <- Account]), kinds(Account)
        ]),
        at({seed, Seed}, fun() -> agrees(Node, Last, Account) end)
    end).

kill_hosts(Node, Beams, Callers, Accounts, N) ->
    receive
        {account, Account} when length(Accounts) + 1 =:= length(Callers) -> {Beams, N, [Account | Accounts]};
        {account, Account} -> kill_hosts(Node, Beams, Callers, [Account | Accounts], N)
    after rand:uniform(400) ->
        Victims = lists:sublist(shuffled(Beams), rand:uniform(2)),
        tb_jobs:end_hosts(Victims),
        tb_jobs:pause(rand:uniform(200)),
        New = [tb_jobs:host(name_after(V, N + I)) || {I, V} <- lists:enumerate(Victims)],
        tb_jobs:join(New, Node),
        kill_hosts(Node, New ++ (Beams -- Victims), Callers, Accounts, N + length(Victims))
    end.

shuffled(List) ->
    [X || {_, X} <- lists:sort([{rand:uniform(), X} || X <- List])].

%% The name it had, or a new one.
name_after(Victim, N) ->
    case rand:uniform(2) of
        1 -> hd([list_to_atom(hd(string:split(atom_to_list(tb_lib:node_of(Victim)), "@")))]);
        2 -> list_to_atom("n" ++ integer_to_list(N))
    end.

%% The account: {What, Arg, Answer, Ms} of each call, in order.
caller(Parent, Node, Calls) ->
    _ = rand:seed(exsss),
    Parent ! {account, lists:reverse(calls(Node, Calls, [], []))}.

calls(_, 0, _, Account) ->
    Account;
calls(Node, Left, Mine, Account) ->
    {What, Arg, Request} = wish(rand:uniform(10), Mine),
    Start = now_ms(),
    Answer = tb_jobs:ask(Node, Request),
    Entry = {What, Arg, Answer, ms_since(Start)},
    tb_jobs:pause(rand:uniform(40) - 1),
    calls(Node, Left - 1, mine(What, Arg, Answer, Mine), [Entry | Account]).

%% Mine: {Arg, dynamic, Pid}, or {Arg, named | stopped, none}.
wish(N, _) when N =< 3 ->
    Arg = {d, erlang:unique_integer()},
    {start, Arg, {start_child, tb_jobs:spec(Arg)}};
wish(N, _) when N =< 5 ->
    Arg = {n, erlang:unique_integer()},
    {start, Arg, {start_child, tb_jobs:named(Arg)}};
wish(N, [_ | _] = Mine) when N =< 8 ->
    case lists:nth(rand:uniform(length(Mine)), Mine) of
        {Arg, dynamic, Pid} -> {terminate, Arg, {terminate_child, Pid}};
        {Arg, named, none} -> {terminate, Arg, {terminate_child, Arg}};
        {Arg, stopped, none} -> {delete, Arg, {delete_child, Arg}}
    end;
wish(9, _) ->
    {which, none, which_children};
wish(_, _) ->
    {count, none, count_children}.

mine(start, {d, _} = Arg, {ok, Pid}, Mine) -> [{Arg, dynamic, Pid} | Mine];
mine(start, Arg, {ok, _}, Mine) -> [{Arg, named, none} | Mine];
mine(terminate, {n, _} = Arg, ok, Mine) -> lists:keyreplace(Arg, 1, Mine, {Arg, stopped, none});
mine(What, Arg, _, Mine) when What =:= terminate; What =:= delete -> lists:keydelete(Arg, 1, Mine);
mine(_, _, _, Mine) -> Mine.

%% How often which answer came.
kinds(Account) ->
    Count = fun({What, _, Answer, _}, Map) ->
        maps:update_with({What, kind(Answer)}, fun(N) -> N + 1 end, 1, Map)
    end,
    maps:to_list(lists:foldl(Count, #{}, Account)).

kind({ok, _}) -> ok;
kind(List) when is_list(List) -> list;
kind({error, {not_attached, _}}) -> not_attached;
kind({error, {Reason, _}}) -> {error, Reason};
kind(Other) -> Other.

%% What runs in the end is what the callers were told.
agrees(Node, Beams, Account) ->
    ?assertEqual([], [E || {_, _, _, Ms} = E <- Account, Ms > ?BOUND]),
    ?assertEqual([], [E || {_, _, {exit, _}, _} = E <- Account]),
    ?assertEqual([], [E || {What, _, Answer, _} = E <- Account, What =:= which orelse What =:= count, not is_list(Answer)]),
    tb_jobs:are_hosts(Node, Beams),
    {Run, Open} = lists:foldl(fun told/2, {#{}, #{}}, Account),
    Running = tb_jobs:until_settled(Node, Beams),
    Expected = maps:keys(Run),
    ?assertEqual({[], []}, {Expected -- Running, (Running -- Expected) -- maps:keys(Open)}),
    Stopped = [I || {{n, _} = I, undefined, _, _} <- tb_jobs:ask(Node, which_children)],
    Wanted = [A || {{n, _} = A, stopped} <- maps:to_list(maps:from_list([{A, W} || {A, W} <- last_words(Account)]))],
    ?assertEqual(lists:sort(Wanted), lists:sort(Stopped)).

%% Those that run for certain, and those of which nobody can know.
told({start, Arg, {ok, _}, _}, {Run, Open}) -> {Run#{Arg => true}, Open};
told({start, _, {error, _}, _}, Known) -> Known;
told({terminate, Arg, ok, _}, {Run, Open}) -> {maps:remove(Arg, Run), Open};
%% by a pid that it no longer had
told({terminate, {d, _}, {error, not_found}, _}, Known) -> Known;
told({terminate, Arg, {error, {not_attached, _}}, _}, {Run, Open}) -> {maps:remove(Arg, Run), Open#{Arg => true}};
told({delete, _, ok, _}, Known) -> Known;
told({delete, _, {error, {not_attached, _}}, _}, Known) -> Known;
told({What, none, _, _}, Known) when What =:= which; What =:= count -> Known;
told(Entry, _) -> error({not_an_answer, Entry}).

%% Of named children that were stopped: whether they are to be there still.
last_words(Account) ->
    [{A, stopped} || {terminate, {n, _} = A, ok, _} <- Account] ++ [{A, gone} || {delete, A, ok, _} <- Account].

%% --------------------------------------------------- in the middle of starts

host_lost() ->
    Seed = tb_jobs:seed(),
    Rounds = tb_lib:int_env("TB_MACHINES", 2),
    Acked = [at({seed, Seed, round, N}, fun host_lost_once/0) || N <- lists:seq(1, Rounds)],
    say("TB_SEED=~w: ~w rounds of 3000 starts, all acknowledged: ~w", [Seed, Rounds, Acked =:= [3000 || _ <- Acked]]).

host_lost_once() ->
    tb_jobs:with([h1, h2, h3], [], fun(Node, Beams, _) ->
        Victim = lists:nth(rand:uniform(3), Beams),
        Requests = tb_jobs:send_starts(Node, lists:seq(1, 3000)),
        tb_jobs:pause(rand:uniform(150)),
        tb_jobs:end_hosts([Victim]),
        {Acked, Others} = tb_jobs:acknowledged(Requests),
        ?assertEqual([], Others),
        tb_jobs:until_run(Node, Beams -- [Victim], Acked),
        length(Acked)
    end).

%% tiebeam is started under another name.
machine_lost() ->
    Seed = tb_jobs:seed(),
    Rounds = tb_lib:int_env("TB_MACHINES", 2),
    Acked = [at({seed, Seed, round, N}, fun() -> machine_lost_once(N) end) || N <- lists:seq(1, Rounds)],
    say("TB_SEED=~w: acknowledged of 2000 each: ~w", [Seed, Acked]).

machine_lost_once(N) ->
    Beams = tb_jobs:hosts([h1, h2, h3]),
    First = tb_jobs:daemon(zz_tiebeam, []),
    Node = tb_lib:node_of(First),
    tb_jobs:join(Beams, Node),
    tb_jobs:are_hosts(Node, Beams),
    Victim = lists:nth(rand:uniform(3), Beams),
    Left = Beams -- [Victim],
    Requests = tb_jobs:send_starts(Node, lists:seq(1, 2000)),
    tb_jobs:pause(rand:uniform(120)),
    %% both, in either order
    _ = [Kill() || Kill <- shuffled([fun() -> tb_jobs:end_daemon(First) end, fun() -> tb_jobs:end_hosts([Victim]) end])],
    {Acked, _} = tb_jobs:acknowledged(Requests),
    Second = tb_jobs:daemon(lists:nth(1 + N rem 2, [aa_tiebeam, zz_tiebeam]), []),
    New = tb_lib:node_of(Second),
    tb_jobs:join(Left, New),
    tb_jobs:are_hosts(New, Left),
    Running = tb_jobs:until_settled(New, Left),
    ?assertEqual([], Acked -- Running),
    ok = tb_jobs:end_daemon(Second),
    tb_jobs:end_hosts(Left),
    length(Acked).

%% ------------------------------------------------------ tiebeam is killed

%% 1000 children; at each kill some of them end while nobody watches, and
%% others are being started.
crash_only() ->
    Seed = tb_jobs:seed(),
    Kills = tb_lib:int_env("TB_KILLS", 10),
    Beams = tb_jobs:hosts([h1, h2, h3]),
    First = tb_jobs:daemon(zz_tiebeam, []),
    Node = tb_lib:node_of(First),
    tb_jobs:join(Beams, Node),
    tb_jobs:are_hosts(Node, Beams),
    _ = tb_jobs:start(Node, lists:seq(1, 1000)),
    tb_jobs:until_run(Node, Beams, lists:seq(1, 1000)),
    Last = lists:foldl(
        fun(N, Daemon) -> at({seed, Seed, kill, N}, fun() -> kill_once(N, Daemon, Node, Beams) end) end,
        First,
        lists:seq(1, Kills)
    ),
    say("TB_SEED=~w: ~w kills, ~w children in the end", [Seed, Kills, length(tb_jobs:pids(Node))]),
    ok = tb_jobs:end_daemon(Last).

kill_once(N, Daemon, Node, Beams) ->
    Before = tb_jobs:places(Beams),
    Requests = starts_for(N, Node),
    tb_jobs:pause(rand:uniform(30) - 1),
    tb_jobs:end_daemon(Daemon),
    {Acked, _} = tb_jobs:acknowledged(Requests),
    Ended = lists:sublist(shuffled([P || {_, P} <- Before]), 5),
    _ = [exit(P, kill) || P <- Ended],
    %% and again before it has seen much
    _ = [half_started(Node, Beams) || _ <- lists:seq(1, rand:uniform(3) - 1)],
    New = tb_jobs:daemon(zz_tiebeam, []),
    tb_jobs:join(Beams, Node),
    tb_jobs:are_hosts(Node, Beams),
    Running = tb_jobs:until_settled(Node, Beams),
    After = tb_jobs:places(Beams),
    ?assertEqual([], [E || {_, P} = E <- Before, not lists:member(P, Ended)] -- After),
    ?assertEqual([], ([A || {A, _} <- Before] ++ Acked) -- Running),
    ?assertEqual([], [P || {_, P} <- After, lists:member(P, Ended)]),
    New.

starts_for(N, Node) ->
    case rand:uniform(2) of
        1 -> tb_jobs:send_starts(Node, [{N, I} || I <- lists:seq(1, 100)]);
        2 -> []
    end.

half_started(Node, Beams) ->
    Daemon = tb_jobs:daemon(zz_tiebeam, []),
    Self = self(),
    Joiner = spawn_link(fun() ->
        tb_jobs:join(Beams, Node),
        Self ! {joined, self()}
    end),
    tb_jobs:pause(rand:uniform(20) - 1),
    tb_jobs:end_daemon(Daemon),
    receive
        {joined, Joiner} -> ok
    end.

%% ------------------------------------------------------------ many children

many() ->
    lists:seq(1, tb_lib:int_env("TB_MANY", 2000)).

many_lost() ->
    tb_jobs:with([h1, h2, h3], [], fun(Node, [_, H2, _] = Beams, _) ->
        Args = many(),
        Pids = tb_jobs:start(Node, Args),
        Lost = tb_lib:node_of(H2),
        Stay = [P || P <- Pids, node(P) =/= Lost],
        Start = now_ms(),
        tb_jobs:end_hosts([H2]),
        tb_jobs:until_run(Node, Beams -- [H2], Args),
        say("~w of ~w were there; all run, and that is seen, after ~w ms", [
            length(Args) - length(Stay), length(Args), ms_since(Start)
        ]),
        ?assertEqual([], Stay -- tb_jobs:pids(Node))
    end).

%% Gives what was and what is: {Arg, Pid} each.
joins(Options, Fun) ->
    tb_jobs:with([h1, h2, h3], [{settle_ms, 50} | Options], fun(Node, Beams, _) ->
        Args = many(),
        _ = tb_jobs:start(Node, Args),
        Before = tb_jobs:places(Beams),
        New = tb_jobs:host(h4),
        Start = now_ms(),
        tb_jobs:join([New], Node),
        All = Beams ++ [New],
        tb_jobs:are_hosts(Node, All),
        tb_jobs:until_at_rest(Node),
        tb_jobs:until_run(Node, All, Args),
        After = tb_jobs:places(All),
        say("~w of ~w moved; at rest, and that is seen, after ~w ms", [
            length(After -- Before), length(Args), ms_since(Start)
        ]),
        Fun(Before, After, tb_jobs:nodes_of(All))
    end).

many_rendezvous() ->
    joins([{locator, rendezvous}], fun(Before, After, Nodes) ->
        Moved = After -- Before,
        ?assert(length(Moved) =< length(After) * (1 / 4 + 0.02)),
        ?assert(length(Moved) >= length(After) * (1 / 4 - 0.05)),
        ?assertEqual([], [P || {_, P} <- Moved, node(P) =/= lists:last(Nodes)])
    end).

%% Those of another place move, and nobody else.
many_phash2() ->
    joins([], fun(Before, After, Nodes) ->
        Place = fun(Arg, Among) -> tb_supervisor_tests:reference_locate(tb_jobs:spec(Arg), Among) end,
        ?assertEqual([], [A || {A, P} <- After, node(P) =/= Place(A, Nodes)]),
        Same = [E || {A, P} = E <- Before, node(P) =:= Place(A, Nodes)],
        ?assertEqual([], Same -- After)
    end).

%% ---------------------------------------------------------- rolling restart

rolling() ->
    rolling([{auto_balance, false}], fun(Old, Started, Back) ->
        %% each that was there, once; and that is all
        ?assertEqual(lists:sort(Old), lists:sort(Started)),
        ?assertEqual([], Back)
    end).

rolling_balanced() ->
    rolling([{auto_balance, true}], fun(Old, Started, Back) ->
        ?assertEqual(lists:sort(Old), lists:sort(Started)),
        %% what comes back is what had left
        ?assertEqual(lists:sort(Back), lists:usort(Back)),
        ?assertEqual([], Back -- Old)
    end).

%% Check gets the children of the node that is replaced, those that started
%% elsewhere while it was drained, and those that did when it was back.
rolling(Options, Check) ->
    tb_jobs:with([h1, h2, h3], [{settle_ms, 50}, {locator, rendezvous} | Options], fun(Node, Beams, _) ->
        N = tb_lib:int_env("TB_ROLLED", 300),
        _ = tb_lib:flush(),
        Args = [{self(), I} || I <- lists:seq(1, N)],
        Specs = [{{tb_kid, counted, [A]}, permanent, 5000, worker, [tb_kid]} || A <- Args],
        Results = tb_jobs:ask(Node, {start_children, Specs}, ?SLOW),
        ?assertEqual(N, length([P || {ok, P} <- Results])),
        ?assertEqual(N, length(started(N))),
        _ = lists:foldl(fun(Name, Hosts) -> replace(Name, Node, Hosts, Args, Check) end, Beams, [h1, h2, h3])
    end).

replace(Name, Node, Hosts, Args, Check) ->
    [Beam] = [B || B <- Hosts, lists:prefix(atom_to_list(Name), atom_to_list(tb_lib:node_of(B)))],
    Old = [I || {{_, I}, _} <- tb_jobs:places([Beam])],
    ok = tb_jobs:ask(Node, {drain, tb_lib:node_of(Beam)}),
    tb_lib:until_equal([], fun() -> tb_jobs:places([Beam]) end, ?SLOW),
    tb_jobs:until_run(Node, Hosts, Args),
    Started = started(length(Old)),
    tb_jobs:end_hosts([Beam]),
    New = tb_jobs:host(Name),
    tb_jobs:join([New], Node),
    Now = [New | Hosts -- [Beam]],
    tb_jobs:are_hosts(Node, Now),
    tb_jobs:until_at_rest(Node),
    tb_jobs:until_run(Node, Now, Args),
    Check(Old, Started, started(0)),
    Now.

%% What has said that it started: so many at least.
started(Least) ->
    receive
        {started, Tag, _} -> [Tag | started(Least - 1)]
    after case Least of N when N > 0 -> 5000; _ -> 0 end -> []
    end.
