%% tb_supervisor_tests - what callers of a supervisor see. The same calls are
%% made to a supervisor or a DynamicSupervisor of this node and to tiebeam's,
%% and what they give is compared.
-module(tb_supervisor_tests).
-include_lib("eunit/include/eunit.hrl").

-export([init/1, reference_locate/2, choose/2]).

-define(TIMEOUT, 600).
-define(DYN, 'Elixir.DynamicSupervisor').
-define(NAME, jobs).

-spec supervisor_test_() -> tuple().
supervisor_test_() ->
    {setup, fun setup/0, fun cleanup/1, fun(_) ->
        [
            {timeout, ?TIMEOUT, {Title, Case}}
         || {Title, Case} <- tb_lib:chosen(cases())
        ]
    end}.

setup() ->
    _ = [code:add_pathz(Dir) || Dir <- filelib:wildcard("/usr/lib/elixir/lib/elixir/ebin")],
    tb_lib:join(aa_supervisor).

cleanup(Epmd) ->
    tb_lib:leave(Epmd).

cases() ->
    [{"supervisor: " ++ T, fun() -> as_supervisor(C, #{}) end} || {T, C} <- named_cases()] ++
        [
            {"DynamicSupervisor: " ++ T, fun() -> as_dynamic(C, #{}) end}
         || {T, C} <- dynamic_cases()
        ] ++
        [
            {"supervisor: intensity", fun() -> as_supervisor(fun intensity/1, limits()) end},
            {"supervisor: failing restarts", fun() -> as_supervisor(fun failing/1, limits()) end},
            {"DynamicSupervisor: intensity", fun() -> as_dynamic(fun dynamic_intensity/1, limits()) end},
            {"DynamicSupervisor: failing restarts",
                fun() -> as_dynamic(fun dynamic_failing/1, limits()) end},
            {"DynamicSupervisor: max_children",
                fun() -> as_dynamic(fun max_children/1, #{max_children => 2}) end},
            {"DynamicSupervisor: extra_arguments",
                fun() -> as_dynamic(fun extra/1, #{extra_arguments => [x, [1, 2]]}) end},
            {"on a pid, and on the name of another node", fun on_a_pid/0},
            {"both kinds in one supervisor", fun both_kinds/0},
            {"start_children: results in order", fun start_children/0},
            {"start_children: many, of several callers, and the end before all were read", fun start_many/0},
            {"locate: as GlobalSupervisor, 10,000 specs", fun locate/0},
            {"a locator on a BEAM node", fun locator/0},
            {"no hosts", fun no_hosts/0},
            {"a host that only another one knows", fun reached/0},
            {"hosts, info, explain", fun shows/0},
            {"a back-off in place of the intensity", fun backoff/0},
            {"a release that starts its own host", fun own_host/0},
            {"options are checked", fun options/0},
            {"started and stopped on request", fun on_request/0},
            {"verbs", fun verbs/0},
            {"supervisor:get_callback_module", fun callback/0},
            {"the module tiebeam_supervisor", fun client/0},
            {"tiebeam_supervisor: a tiebeam node that comes later", fun later/0}
        ].

%% The seconds are many: a slow machine must not spread the restarts.
limits() ->
    #{max_restarts => 2, max_seconds => 60}.

%% ----------------------------------------------------------- both of them

%% A case gets the module, the supervisor and something to stop; it returns what
%% it saw.
as_supervisor(Case, Options) ->
    Expected = reference(
        fun() ->
            {ok, Pid} = supervisor:start_link(?MODULE, Options),
            Pid
        end,
        supervisor,
        Case
    ),
    compare(Expected, supervisor, Case, Options).

as_dynamic(Case, Options) ->
    Expected = reference(
        fun() ->
            {ok, Pid} = ?DYN:start_link([{strategy, one_for_one} | maps:to_list(Options)]),
            Pid
        end,
        ?DYN,
        Case
    ),
    compare(Expected, ?DYN, Case, Options).

reference(Start, Module, Case) ->
    Trap = process_flag(trap_exit, true),
    Pid = Start(),
    Result = Case({Module, Pid}),
    exit(Pid, kill),
    receive
        {'EXIT', Pid, _} -> ok
    end,
    _ = tb_lib:flush(),
    process_flag(trap_exit, Trap),
    plain(Result).

compare(Expected, Module, Case, Options) ->
    %% with more hosts than one, too many restarts on one are not the end
    Hosts =
        case maps:is_key(max_restarts, Options) of
            true -> [h1];
            false -> [h1, h2]
        end,
    with_tiebeam(Hosts, Options, fun(Node, _) ->
        ?assertEqual(Expected, plain(Case({Module, {?NAME, Node}})))
    end).

-spec init(map() | atom() | list()) -> {ok, tuple() | list()} | ignore.
init(ignore) ->
    ignore;
init(Flags) when is_list(Flags) ->
    {ok, Flags};
init(Options) ->
    Flags = #{
        strategy => one_for_one,
        intensity => maps:get(max_restarts, Options, 3),
        period => maps:get(max_seconds, Options, 5)
    },
    {ok, {Flags, []}}.

with_tiebeam(Names, Options, Fun) ->
    with_tiebeam(Names, [{hosts, all} | maps:to_list(Options)], Fun, fun host/1).

with_tiebeam(Names, Options, Fun, Host) ->
    Config = [{tiebeam, [{discovery, []}, {supervisors, [{?NAME, Options}]}]}],
    Beams = [Host(N) || N <- Names],
    Nodes = [tb_lib:node_of(B) || B <- Beams],
    %% this VM has the module in a file: it is no host, as none starts it
    try
        tb_lib:with_daemon(zz_tiebeam, #{config => Config}, fun(_, Node) ->
            _ = [tb_lib:link(N, Node) || N <- Nodes],
            tb_lib:until_equal(lists:sort(Nodes), fun() -> ask({?NAME, Node}, hosts) end),
            Fun(Node, Nodes)
        end)
    after
        lists:foreach(fun tb_lib:end_beam/1, Beams)
    end.

%% A node whose release does not contain the module.
host(Name) ->
    Beam = tb_lib:beam(Name, #{args => ["-kernel", "logger_level", "none"]}),
    Node = tb_lib:node_of(Beam),
    {module, _} = rpc:call(Node, code, ensure_loaded, [tb_kid]),
    {module, _} = rpc:call(Node, code, ensure_loaded, [?MODULE]),
    true = rpc:call(Node, code, del_path, [filename:dirname(code:which(?MODULE))]),
    non_existing = rpc:call(Node, code, which, [tiebeam_host]),
    Beam.

%% Without what differs from run to run.
plain(Pid) when is_pid(Pid) -> pid;
plain(Ref) when is_reference(Ref) -> ref;
plain([{M, F, A, L} | _]) when is_atom(M), is_atom(F), L =:= [] orelse is_tuple(hd(L)) -> {stack, M, F, A};
plain([H | T]) -> [plain(H) | plain(T)];
plain(T) when is_tuple(T) -> list_to_tuple(plain(tuple_to_list(T)));
plain(M) when is_map(M) -> maps:map(fun(_, V) -> plain(V) end, M);
plain(T) -> T.

ask(Server, Request) -> gen_server:call(Server, Request, 60000).

start({M, S}, Spec) -> M:start_child(S, Spec).
terminate({M, S}, Id) -> M:terminate_child(S, Id).
which({M, S}) -> M:which_children(S).
count({M, S}) ->
    case M:count_children(S) of
        Map when is_map(Map) -> lists:sort(maps:to_list(Map));
        List -> List
    end.

spec(Id) -> spec(Id, permanent).
spec(Id, Restart) -> spec(Id, Restart, {tb_kid, start_link, [Id]}).
spec(Id, Restart, Mfa) -> #{id => Id, start => Mfa, restart => Restart}.

%% The pid of a child, once it is another one than Old.
again(Sup, Id, Old) ->
    Pid = fun() -> [P || {I, P, _, _} <- which(Sup), I =:= Id, is_pid(P), P =/= Old] end,
    tb_lib:until(fun() -> length(Pid()) =:= 1 end),
    hd(Pid()).

gone(Pid) ->
    Ref = monitor(process, Pid),
    receive
        {'DOWN', Ref, process, Pid, Reason} -> Reason
    after 60000 -> error(still_there)
    end.

%% It knows that it is watched before somebody else ends it.
watch({_, S} = Sup) ->
    Ref = monitor(process, S),
    _ = which(Sup),
    Ref.

settled(Sup, Expected) ->
    tb_lib:until_equal(lists:sort(Expected), fun() -> lists:sort(plain(which(Sup))) end),
    which(Sup).

%% -------------------------------------------------------------- supervisor

named_cases() ->
    [
        {"start_child, every outcome", fun outcomes/1},
        {"start_child, defaults and all keys", fun keys/1},
        {"start_child, child specs that are none", fun bad_specs/1},
        {"start_child, an id that is there", fun duplicates/1},
        {"terminate, restart, delete", fun life/1},
        {"ids are exact", fun ids/1},
        {"temporary children", fun temporary/1},
        {"transient children", fun transient/1},
        {"permanent children", fun permanent/1},
        {"ignore", fun ignoring/1},
        {"which_children: the newest first", fun order/1},
        {"shutdown: brutal_kill, a time, infinity", fun shutdown/1},
        {"shutdown: 0, and more than a timer takes", fun long_shutdown/1},
        {"restart_child that fails", fun restart_fails/1},
        {"gen_server:stop", fun stop_server/1}
    ] ++
        [{"which_child", fun which_child/1} || exports(which_child, 2)] ++
        [{"stop", fun stop_supervisor/1} || exports(stop, 3)].

%% of this release
exports(Function, Arity) ->
    _ = code:ensure_loaded(supervisor),
    erlang:function_exported(supervisor, Function, Arity).

outcomes(Sup) ->
    [
        start(Sup, spec({n, N}, permanent, {tb_kid, start, [How]}))
     || {N, How} <- lists:enumerate([
            info,
            ignore,
            {error, no},
            {error, {already_started, x}},
            {crash, boom},
            {exit, gone},
            {throw, ball},
            {throw, {error, thrown}},
            {other, foo},
            {other, {ok, not_a_pid}},
            {other, {ok, undefined}}
        ])
    ] ++ [start(Sup, spec(undef, permanent, {no_such_module, f, [1]})), which(Sup), count(Sup)].

keys(Sup) ->
    _ = start(Sup, spec(a)),
    _ = start(Sup, #{
        id => b,
        start => {tb_kid, start_link, []},
        restart => transient,
        shutdown => brutal_kill,
        type => supervisor,
        modules => dynamic,
        significant => false,
        unknown => key
    }),
    _ = start(Sup, {c, {tb_kid, start_link, [x]}, temporary, 100, worker, [m1, m2]}),
    _ = start(Sup, #{id => d, start => {tb_kid, start_link, []}, type => supervisor}),
    {M, S} = Sup,
    [M:get_childspec(S, Id) || Id <- [a, b, c, d, e]] ++ [which(Sup), count(Sup)].

bad_specs(Sup) ->
    Good = spec(x),
    [
        start(Sup, Bad)
     || Bad <- [
            foo,
            [],
            [1, 2],
            {},
            {a, b},
            #{},
            #{id => x},
            #{start => {a, b, []}},
            Good#{start => foo},
            Good#{start => {a, b}},
            Good#{start => {a, "b", []}},
            Good#{start => {a, b, c}},
            Good#{restart => never},
            Good#{shutdown => soon},
            Good#{shutdown => -1},
            Good#{type => boss},
            Good#{modules => foo},
            Good#{modules => [foo, 1]},
            Good#{significant => maybe_not},
            Good#{significant => true},
            Good#{significant => true, restart => transient},
            Good#{restart => never, type => boss, shutdown => soon},
            {x, {tb_kid, start_link, []}, never, 1, worker, []},
            {x, {tb_kid, start_link, []}, permanent, 1, boss, []},
            {x, foo, permanent, 1, worker, []}
        ]
    ] ++ [which(Sup)].

duplicates(Sup) ->
    {ok, Pid} = start(Sup, spec(a)),
    Again = start(Sup, spec(a)),
    Other = start(Sup, {a, {tb_kid, start_link, []}, temporary, 1, worker, []}),
    ok = terminate(Sup, a),
    Stopped = start(Sup, spec(a)),
    [Again, Other, Stopped, {error, {already_started, Pid}} =:= Again].

life({M, S} = Sup) ->
    {ok, Pid} = start(Sup, spec(a)),
    [
        M:restart_child(S, a),
        M:delete_child(S, a),
        terminate(Sup, a),
        gone(Pid),
        which(Sup),
        count(Sup),
        terminate(Sup, a),
        M:restart_child(S, a),
        M:restart_child(S, b),
        terminate(Sup, a),
        M:delete_child(S, a),
        M:delete_child(S, a),
        terminate(Sup, a),
        terminate(Sup, self()),
        which(Sup),
        start(Sup, spec(a)),
        count(Sup)
    ].

ids({M, S} = Sup) ->
    Ids = [1, 1.0, "a", <<"a">>, 'a', {1, [self()]}, #{k => v}, [1 | 2], 1 bsl 70, undefined],
    _ = [{ok, _} = start(Sup, spec(Id)) || Id <- Ids],
    [start(Sup, spec(Id)) || Id <- Ids] ++
        [length(which(Sup)), terminate(Sup, 1.0), M:delete_child(S, 1.0), terminate(Sup, 2), which(Sup)].

temporary(Sup) ->
    {ok, A} = start(Sup, spec(a, temporary)),
    {ok, B} = start(Sup, spec(b, temporary)),
    {ok, C} = start(Sup, spec(c, temporary)),
    A ! {exit, crash},
    _ = gone(A),
    B ! {exit, normal},
    _ = gone(B),
    W = settled(Sup, [{c, pid, worker, [tb_kid]}]),
    [W, terminate(Sup, c), gone(C), which(Sup), start(Sup, spec(c, temporary))].

transient(Sup) ->
    {ok, A} = start(Sup, spec(a, transient)),
    {ok, B} = start(Sup, spec(b, transient)),
    {ok, C} = start(Sup, spec(c, transient)),
    A ! {exit, normal},
    B ! {exit, {shutdown, x}},
    _ = [gone(A), gone(B)],
    C ! {exit, crash},
    C2 = again(Sup, c, C),
    Expected = [
        {a, undefined, worker, [tb_kid]},
        {b, undefined, worker, [tb_kid]},
        {c, pid, worker, [tb_kid]}
    ],
    {M, S} = Sup,
    [settled(Sup, Expected), C2 =/= C, M:restart_child(S, a), start(Sup, spec(b, transient)), count(Sup)].

permanent(Sup) ->
    {ok, A} = start(Sup, spec(a)),
    A ! {exit, normal},
    A2 = again(Sup, a, A),
    exit(A2, kill),
    A3 = again(Sup, a, A2),
    [which(Sup), A3 =/= A2, count(Sup)].

ignoring({M, S} = Sup) ->
    Mfa = {tb_kid, start, [ignore]},
    [
        start(Sup, spec(a, permanent, Mfa)),
        start(Sup, spec(b, temporary, Mfa)),
        which(Sup),
        count(Sup),
        start(Sup, spec(a, permanent, Mfa)),
        M:restart_child(S, a),
        M:restart_child(S, b),
        terminate(Sup, a),
        M:delete_child(S, a),
        which(Sup)
    ].

order({M, S} = Sup) ->
    _ = [{ok, _} = start(Sup, spec(N)) || N <- lists:seq(1, 8)],
    W1 = which(Sup),
    ok = terminate(Sup, 3),
    {ok, _} = M:restart_child(S, 3),
    W2 = which(Sup),
    ok = terminate(Sup, 5),
    ok = M:delete_child(S, 5),
    {ok, _} = start(Sup, spec(5)),
    [W1, W2, which(Sup)].

shutdown(Sup) ->
    Mfa = {tb_kid, start, [stubborn]},
    {ok, A} = start(Sup, (spec(a, permanent, Mfa))#{shutdown => brutal_kill}),
    {ok, B} = start(Sup, (spec(b, permanent, Mfa))#{shutdown => 50}),
    {ok, C} = start(Sup, (spec(c))#{shutdown => infinity}),
    Refs = [{P, monitor(process, P)} || P <- [A, B, C]],
    %% each has been told that it is watched before somebody else ends it
    _ = [true = rpc:call(node(P), erlang, is_process_alive, [P]) || {P, _} <- Refs],
    Results = [terminate(Sup, Id) || Id <- [a, b, c]],
    Reasons = [receive {'DOWN', R, process, P, Why} -> Why end || {P, R} <- Refs],
    [Results, Reasons].

long_shutdown({M, S} = Sup) ->
    _ = [{ok, _} = start(Sup, (spec(Ms))#{shutdown => Ms}) || Ms <- [0, 1 bsl 40]],
    {ok, Pid} = start(Sup, (spec(c, permanent, {tb_kid, start, [stubborn]}))#{shutdown => 0}),
    Ref = watch_child(Pid),
    [M:get_childspec(S, 1 bsl 40), terminate(Sup, 0), terminate(Sup, c), down(Ref), which(Sup)].

which_child({M, S} = Sup) ->
    {ok, A} = start(Sup, spec(a)),
    _ = start(Sup, (spec(b, permanent, {tb_kid, start, [ignore]}))#{type => supervisor, modules => dynamic}),
    ok = terminate(Sup, a),
    [M:which_child(S, Id) || Id <- [a, b, c, A]] ++ [M:restart_child(S, a), M:which_child(S, a)].

stop_server(Sup) ->
    stopped(Sup, fun(S) -> gen_server:stop(S) end).

stop_supervisor(Sup) ->
    stopped(Sup, fun(S) -> supervisor:stop(S, shutdown, 60000) end).

%% What the supervisor and its children say.
stopped(Sup, Stop) ->
    Pids = [Pid || Id <- [a, b], {ok, Pid} <- [start(Sup, spec(Id))]],
    {_, S} = Sup,
    Refs = [watch(Sup) | [watch_child(Pid) || Pid <- Pids]],
    [Stop(S) | [down(Ref) || Ref <- Refs]].

watch_child(Pid) ->
    Ref = monitor(process, Pid),
    true = rpc:call(node(Pid), erlang, is_process_alive, [Pid]),
    Ref.

restart_fails({M, S} = Sup) ->
    Key = {node(), erlang:unique_integer()},
    {ok, _} = start(Sup, spec(a, permanent, {tb_kid, start, [{once, Key, {error, no}}]})),
    ok = terminate(Sup, a),
    R1 = M:restart_child(S, a),
    R2 = M:restart_child(S, a),
    [R1, R2, which(Sup), M:delete_child(S, a)].

%% ------------------------------------------------------- DynamicSupervisor

dynamic_cases() ->
    [
        {"start_child, every outcome", fun dynamic_outcomes/1},
        {"start_child, maps and tuples", fun dynamic_specs/1},
        {"the same spec twice is two children", fun twice/1},
        {"terminate_child", fun dynamic_terminate/1},
        {"temporary, transient, permanent", fun dynamic_restarts/1},
        {"ignore when it is restarted", fun dynamic_ignore/1},
        {"count_children", fun dynamic_count/1},
        {"what Elixir 1.14 does not send", fun dynamic_newer/1},
        {"stop", fun dynamic_stop/1}
    ].

dynamic_outcomes(Sup) ->
    [
        start(Sup, spec(x, permanent, {tb_kid, start, [How]}))
     || How <- [
            info,
            ignore,
            {error, no},
            {crash, boom},
            {exit, gone},
            {throw, ball},
            {other, foo},
            {other, {ok, not_a_pid}}
        ]
    ] ++ [start(Sup, spec(undef, permanent, {no_such_module, f, [1]})), which(Sup), count(Sup)].

dynamic_specs(Sup) ->
    Good = spec(x),
    [
        start(Sup, S)
     || S <- [
            Good,
            {x, {tb_kid, start_link, []}, permanent, 5, worker, [m]},
            Good#{restart => never},
            Good#{start => foo},
            Good#{type => supervisor, modules => dynamic},
            Good#{shutdown => soon},
            Good#{shutdown => 0},
            Good#{shutdown => -1},
            Good#{significant => true},
            Good#{significant => 1},
            Good#{modules => [1]}
        ]
    ] ++ [lists:sort(plain(which(Sup))), count(Sup)].

twice(Sup) ->
    {ok, A} = start(Sup, spec(a)),
    {ok, B} = start(Sup, spec(a)),
    [A =/= B, which(Sup), count(Sup)].

dynamic_terminate(Sup) ->
    {ok, A} = start(Sup, spec(a)),
    {ok, B} = start(Sup, spec(a, temporary)),
    [terminate(Sup, A), gone(A), terminate(Sup, A), terminate(Sup, self()), terminate(Sup, B), gone(B), which(Sup), count(Sup)].

dynamic_restarts(Sup) ->
    {ok, A} = start(Sup, spec(a, temporary)),
    {ok, B} = start(Sup, spec(b, transient)),
    {ok, C} = start(Sup, spec(c, transient)),
    {ok, D} = start(Sup, spec(d, permanent)),
    A ! {exit, crash},
    B ! {exit, normal},
    _ = [gone(P) || P <- [A, B]],
    C ! {exit, crash},
    D ! {exit, normal},
    _ = [gone(P) || P <- [C, D]],
    %% a supervisor on another node may hear of an exit later than we do
    tb_lib:until(fun() ->
        Pids = [P || {_, P, _, _} <- which(Sup)],
        length(Pids) =:= 2 andalso lists:all(fun is_pid/1, Pids) andalso Pids -- [A, B, C, D] =:= Pids
    end),
    [which(Sup), count(Sup)].

dynamic_ignore(Sup) ->
    Key = {node(), erlang:unique_integer()},
    {ok, A} = start(Sup, spec(a, permanent, {tb_kid, start, [{once, Key, ignore}]})),
    A ! {exit, crash},
    _ = gone(A),
    [settled(Sup, []), count(Sup)].

dynamic_count(Sup) ->
    _ = [{ok, _} = start(Sup, (spec(x))#{type => T}) || T <- [worker, supervisor, worker]],
    count(Sup).

%% It was refused by the caller; the server takes it in all releases.
dynamic_newer({_, S} = Sup) ->
    Start = fun(Shutdown) ->
        gen_server:call(S, {start_child, {{tb_kid, start_link, [x]}, permanent, Shutdown, worker, [tb_kid]}})
    end,
    {ok, A} = Start(0),
    {ok, B} = Start(1 bsl 40),
    Refs = [watch_child(P) || P <- [A, B]],
    _ = [ok = terminate(Sup, P) || P <- [A, B]],
    lists:sort([down(Ref) || Ref <- Refs]) ++ [which(Sup)].

dynamic_stop(Sup) ->
    stopped(Sup, fun(S) -> ?DYN:stop(S, {shutdown, enough}) end).

max_children(Sup) ->
    {ok, A} = start(Sup, spec(a)),
    R1 = start(Sup, spec(b)),
    R2 = start(Sup, spec(c)),
    R3 = terminate(Sup, A),
    R4 = start(Sup, spec(d, permanent, {tb_kid, start, [{error, no}]})),
    R5 = start(Sup, spec(e)),
    R6 = start(Sup, spec(f)),
    [R1, R2, R3, R4, R5, R6, count(Sup)].

extra(Sup) ->
    [start(Sup, spec(a, permanent, {erlang, list_to_tuple, []})),
     start(Sup, spec(a, permanent, {lists, reverse, []})),
     start(Sup, spec(a, permanent, {lists, append, []}))].

%% -------------------------------------------------------------- intensity

%% Two restarts in five seconds are borne, the third ends it.
intensity(Sup) ->
    {ok, A} = start(Sup, spec(a)),
    {ok, B} = start(Sup, spec(b)),
    crash_out(Sup, a, A, B).

dynamic_intensity(Sup) ->
    {ok, A} = start(Sup, spec(a)),
    Ref = watch(Sup),
    A ! {exit, one},
    A2 = again(Sup, undefined, A),
    A2 ! {exit, two},
    A3 = again(Sup, undefined, A2),
    A3 ! {exit, three},
    [down(Ref), gone(A3)].

crash_out(Sup, Id, A, B) ->
    Ref = watch(Sup),
    A ! {exit, one},
    A2 = again(Sup, Id, A),
    A2 ! {exit, two},
    A3 = again(Sup, Id, A2),
    A3 ! {exit, three},
    [down(Ref), gone(A3), gone(B)].

down(Ref) ->
    receive
        {'DOWN', Ref, process, _, Reason} -> Reason
    after 60000 -> error(still_there)
    end.

failing(Sup) ->
    Key = {node(), erlang:unique_integer()},
    {ok, A} = start(Sup, spec(a, permanent, {tb_kid, start, [{once, Key, {error, no}}]})),
    Ref = watch(Sup),
    A ! {exit, one},
    [down(Ref)].

dynamic_failing(Sup) ->
    failing(Sup).

%% ------------------------------------------------------------ tiebeam's own

on_a_pid() ->
    with_tiebeam([h1], #{}, fun(Node, _) ->
        Pid = tb_lib:pid_of(Node, ?NAME),
        ?assert(is_pid(Pid)),
        {ok, A} = ?DYN:start_child(Pid, spec(a)),
        ?assertEqual([{undefined, A, worker, [tb_kid]}], ?DYN:which_children(Pid)),
        ?assertEqual(ok, ?DYN:terminate_child(Pid, A)),
        {ok, B} = supervisor:start_child(Pid, spec(b)),
        ?assertEqual([{b, B, worker, [tb_kid]}], supervisor:which_children(Pid)),
        ?assertEqual(ok, gen_server:stop(Pid)),
        ?assertEqual(noproc, gone(B)),
        %% it is back, and empty
        tb_lib:until(fun() -> is_pid(tb_lib:pid_of(Node, ?NAME)) end),
        tb_lib:until(fun() ->
            case catch gen_server:call({?NAME, Node}, hosts, 60000) of
                [_] -> true;
                _ -> false
            end
        end),
        ?assertEqual([], supervisor:which_children({?NAME, Node})),
        ?assertMatch({ok, _}, supervisor:start_child({?NAME, Node}, spec(b)))
    end).

both_kinds() ->
    with_tiebeam([h1, h2], #{}, fun(Node, _) ->
        S = {?NAME, Node},
        {ok, A} = supervisor:start_child(S, spec(a)),
        {ok, B} = ?DYN:start_child(S, spec(a)),
        ?assertEqual({error, not_found}, supervisor:terminate_child(S, A)),
        ?assertEqual(
            [{a, A, worker, [tb_kid]}, {undefined, B, worker, [tb_kid]}],
            lists:sort(supervisor:which_children(S))
        ),
        ?assertEqual(#{specs => 2, active => 2, supervisors => 0, workers => 2}, ?DYN:count_children(S)),
        ?assertEqual(ok, ?DYN:terminate_child(S, B)),
        ?assertEqual(ok, supervisor:terminate_child(S, a)),
        ?assertEqual([{a, undefined, worker, [tb_kid]}], supervisor:which_children(S))
    end).

start_children() ->
    with_tiebeam([h1, h2], #{}, fun(Node, _) ->
        S = {?NAME, Node},
        Specs = [
            five(N)
         || N <- lists:seq(1, 500)
        ],
        Results = gen_server:call(S, {start_children, Specs}, 30000),
        ?assertEqual(500, length([P || {ok, P} <- Results])),
        Args = [tb_kid:ask(P, arg) || {ok, P} <- Results],
        ?assertEqual(lists:seq(1, 500), Args),
        Mixed = [foo, five(x), spec(id), spec(id), {{tb_kid, start, [ignore]}, permanent, 1, worker, []}],
        ?assertMatch(
            [{error, {invalid_child_spec, foo}}, {ok, _}, {ok, P}, {error, {already_started, P}}, ignore],
            ask(S, {start_children, Mixed})
        ),
        ?assertEqual([], ask(S, {start_children, []}))
    end).

%% More than are read at a time.
start_many() ->
    with_tiebeam([h1, h2], #{}, fun(Node, _) ->
        S = {?NAME, Node},
        Lists = [lists:seq(From, From + 4499) || From <- [1, 10001]],
        Ask = fun(Args) -> gen_server:send_request(S, {start_children, [five(A) || A <- Args]}) end,
        Asked = [Ask(Args) || Args <- Lists],
        _ = [
            begin
                {reply, Results} = gen_server:receive_response(R, 60000),
                ?assertEqual(Args, [tb_kid:ask(P, arg) || {ok, P} <- Results])
            end
         || {R, Args} <- lists:zip(Asked, Lists)
        ],
        ?assertMatch(#{specs := 9000}, ?DYN:count_children(S)),
        %% it leaves with these
        _ = [Ask(lists:seq(1, 20000)) || _ <- [1, 2]],
        ?assert(is_list(ask(S, hosts)))
    end).

five(Arg) ->
    {{tb_kid, start_link, [Arg]}, permanent, 5000, worker, [tb_kid]}.

%% What GlobalSupervisor.locate/2 does.
-spec reference_locate(tuple(), [node()]) -> node().
reference_locate(Spec, Nodes) ->
    Sorted = lists:sort(Nodes),
    lists:nth(erlang:phash2(Spec, length(Sorted)) + 1, Sorted).

locate() ->
    with_tiebeam([h1, h2, h3], #{}, fun(Node, Nodes) ->
        S = {?NAME, Node},
        Reqs = [
            {Spec, gen_server:send_request(S, {locate, Spec})}
         || _ <- lists:seq(1, 10000),
            Spec <- [random_spec()]
        ],
        Wrong = [
            {Spec, Got}
         || {Spec, Req} <- Reqs,
            Got <- [gen_server:wait_response(Req, 60000)],
            Got =/= {reply, reference_locate(Spec, Nodes)}
        ],
        ?assertEqual([], Wrong),
        %% and it starts where it says
        _ = [
            begin
                Spec = five({N, random_term(2)}),
                {ok, Pid} = ask(S, {start_child, Spec}),
                ?assertEqual(reference_locate(Spec, Nodes), node(Pid))
            end
         || N <- lists:seq(1, 50)
        ],
        %% a named child by its id
        _ = [
            begin
                {ok, Pid} = supervisor:start_child(S, spec(N)),
                ?assertEqual(reference_locate(N, Nodes), node(Pid))
            end
         || N <- lists:seq(1, 20)
        ]
    end).

random_spec() ->
    {
        {one_of([m, 'Elixir.Agent', 'ä']), one_of([f, start_link]), [random_term(3) || _ <- few()]},
        one_of([permanent, transient, temporary]),
        one_of([brutal_kill, infinity, 1, 5000, 1 bsl 40]),
        one_of([worker, supervisor]),
        one_of([dynamic, [], [a, b]])
    }.

random_term(0) ->
    one_of([
        rand:uniform(1 bsl 30), -rand:uniform(1 bsl 60), rand:uniform(), 1 bsl 90, abc, 'Å', <<"bin">>, <<1:3>>, [], {},
        self(), make_ref(), fun lists:map/2, "text", 0, -1, 1.5
    ]);
random_term(D) ->
    case rand:uniform(6) of
        1 -> [random_term(D - 1) || _ <- few()];
        2 -> list_to_tuple([random_term(D - 1) || _ <- few()]);
        3 -> maps:from_list([{random_term(D - 1), random_term(D - 1)} || _ <- few()]);
        4 -> [random_term(D - 1) | random_term(0)];
        _ -> random_term(0)
    end.

few() ->
    lists:seq(1, rand:uniform(4) - 1).

one_of(List) ->
    lists:nth(rand:uniform(length(List)), List).

%% The last host takes all, and one that does not exist none.
-spec choose([term()], [node()]) -> [node()].
choose(Specs, Nodes) ->
    [
        case Spec of
            {{_, _, [nowhere]}, _, _, _, _} -> nobody@nowhere;
            _ -> lists:last(Nodes)
        end
     || Spec <- Specs
    ].

locator() ->
    with_tiebeam([h1, h2], #{locator => {?MODULE, choose}}, fun(Node, Nodes) ->
        S = {?NAME, Node},
        Last = lists:last(lists:sort(Nodes)),
        Results = ask(S, {start_children, [five(N) || N <- lists:seq(1, 20)]}),
        ?assertEqual([Last], lists:usort([node(P) || {ok, P} <- Results])),
        ?assertEqual({error, {bad_locator, nobody@nowhere}}, ask(S, {start_child, five(nowhere)}))
    end).

%% Only one of them has ever heard of the tiebeam node.
reached() ->
    Config = [{tiebeam, [{discovery, []}, {supervisors, [{?NAME, [{hosts, all}]}]}]}],
    [B1, B2] = Beams = [host(h1), host(h2)],
    [H1, H2] = Nodes = [tb_lib:node_of(B1), tb_lib:node_of(B2)],
    try
        tb_lib:with_daemon(zz_tiebeam, #{config => Config}, fun(_, Node) ->
            pong = rpc:call(H1, net_adm, ping, [Node]),
            _ = rpc:call(H1, net_kernel, connect_node, [H2]),
            tb_lib:until(fun() -> Nodes -- gen_server:call({?NAME, Node}, hosts) =:= [] end)
        end)
    after
        lists:foreach(fun tb_lib:end_beam/1, Beams)
    end.

no_hosts() ->
    Options = [{hosts, {nodes, [nobody@nowhere]}}],
    Config = [{tiebeam, [{discovery, []}, {supervisors, [{?NAME, Options}]}]}],
    tb_lib:with_daemon(zz_tiebeam, #{config => Config}, fun(_, Node) ->
        S = {?NAME, Node},
        ?assertEqual({error, no_hosts}, ?DYN:start_child(S, spec(a))),
        ?assertEqual({error, no_hosts}, supervisor:start_child(S, spec(a))),
        ?assertEqual({error, no_hosts}, ask(S, {locate, five(1)})),
        ?assertEqual([], supervisor:which_children(S)),
        ?assertEqual([], ask(S, hosts)),
        ?assertEqual({error, not_found}, supervisor:terminate_child(S, a)),
        #{hosts := Hosts} = ask(S, {explain, a}),
        ?assertMatch(#{state := not_listed}, maps:get(node(), Hosts))
    end).

shows() ->
    with_tiebeam([h1, h2], #{}, fun(Node, Nodes) ->
        S = {?NAME, Node},
        {ok, A} = supervisor:start_child(S, spec(a)),
        #{hosts := Hosts, owner := Node, owning := true, whole := true, children := 1} = ask(S, info),
        _ = [?assertMatch(#{state := attached, owner := Node}, maps:get(N, Hosts)) || N <- Nodes],
        ?assertMatch(#{state := running, pid := A, starts := 1}, ask(S, {explain, a})),
        ?assertMatch(#{state := running, pid := A}, ask(S, {explain, A})),
        ?assertEqual({error, unknown_call}, ask(S, foo)),
        ?assertEqual({ok, {a, A, worker, [tb_kid]}}, ask(S, {which_child, a})),
        ?assertEqual({error, not_found}, ask(S, {which_child, b})),
        %% a dynamic child by its pid, as of a simple_one_for_one
        {ok, B} = ?DYN:start_child(S, spec(b)),
        ?assertEqual({ok, {undefined, B, worker, [tb_kid]}}, ask(S, {which_child, B})),
        ?assertMatch({ok, #{start := {tb_kid, start_link, [b]}}}, supervisor:get_childspec(S, B)),
        ?assertEqual({error, not_found}, ask(S, {which_child, A})),
        ?assertEqual({error, not_found}, supervisor:get_childspec(S, A))
    end).

%% A child that crashes for ever does not end the others.
backoff() ->
    with_tiebeam([h1], #{backoff => {10, 200}}, fun(Node, _) ->
        S = {?NAME, Node},
        {ok, B} = supervisor:start_child(S, spec(b)),
        {ok, A} = supervisor:start_child(S, spec(a, permanent, {tb_kid, counted, [{self(), a}]})),
        A ! {exit, crash},
        _ = [
            receive
                {started, a, P} when P =/= A -> P ! {exit, crash}
            after 60000 -> error(not_restarted)
            end
         || _ <- lists:seq(1, 8)
        ],
        ?assert(tb_lib:alive(B)),
        ok = supervisor:terminate_child(S, a),
        ?assertMatch([{a, undefined, _, _}, {b, B, _, _}], lists:sort(supervisor:which_children(S))),
        _ = tb_lib:flush()
    end).

%% A node whose code path has the module starts the host itself.
own_host() ->
    Host = fun(Name) -> tb_lib:beam(Name, #{args => ["-kernel", "logger_level", "none"]}) end,
    Config = [{tiebeam, [{discovery, []}, {supervisors, [{?NAME, []}]}]}],
    Beam = Host(h1),
    N = tb_lib:node_of(Beam),
    try
        tb_lib:with_daemon(zz_tiebeam, #{config => Config}, fun(_, Node) ->
            S = {?NAME, Node},
            pong = rpc:call(N, net_adm, ping, [Node]),
            Why = fun() -> maps:get(state, maps:get(N, maps:get(hosts, ask(S, info)), #{state => none})) end,
            tb_lib:until_equal(not_started, Why),
            ?assertEqual({error, no_hosts}, ?DYN:start_child(S, spec(a))),
            {ok, _} = rpc:call(N, supervisor, start_child, [kernel_safe_sup, tiebeam_host:child_spec(?NAME)]),
            tb_lib:until_equal([N], fun() -> ask(S, hosts) end),
            {ok, A} = ?DYN:start_child(S, spec(a)),
            ?assertEqual(N, node(A))
        end)
    after
        tb_lib:end_beam(Beam)
    end.

options() ->
    Bad = [
        {strategy, one_for_all},
        {max_restarts, -1},
        {max_seconds, 0},
        {max_children, some},
        {extra_arguments, foo},
        {auto_balance, maybe_so},
        {locator, round_robin},
        {hosts, some},
        {split_policy, majority},
        {settle_ms, -1},
        {forget_ms, -1},
        {forget_ms, none},
        {move_concurrency, 0},
        {start_rate, 0},
        {global, 1},
        {auto_shutdown, any_significant},
        {max_restart, 3}
    ],
    lists:foreach(
        fun({Key, _} = Option) ->
            Config = [{tiebeam, [{discovery, []}, {supervisors, [{?NAME, [Option]}]}]}],
            Daemon = tb_lib:daemon(zz_tiebeam, #{config => Config, ready => false}),
            ?assertNotEqual(0, tb_lib:wait_exit(Daemon)),
            _ = Key
        end,
        Bad
    ).

on_request() ->
    with_tiebeam([h1], #{}, fun(Node, [H1]) ->
        T = {tiebeam, Node},
        Start = fun(Name, Opts) -> ask(T, {start_service, supervisors, Name, Opts}) end,
        ?assertEqual(
            {error, {supervisor_data, {invalid_intensity, -1}}},
            Start(more, [{max_restarts, -1}])
        ),
        ?assertEqual({error, {supervisor_data, {invalid_type, foo}}}, Start(more, foo)),
        ?assertEqual(
            {error, {supervisor_data, {invalid_auto_shutdown, all_significant}}},
            Start(more, [{auto_shutdown, all_significant}])
        ),
        {ok, Pid} = Start(more, [{hosts, all}, {max_restarts, 0}, {auto_shutdown, never}]),
        ?assertEqual({error, {already_started, Pid}}, Start(more, [])),
        ?assertMatch({error, {already_started, _}}, Start(node_monitor, [])),
        S = {more, Node},
        tb_lib:until_equal([H1], fun() -> ask(S, hosts) end),
        {ok, Child} = supervisor:start_child(S, spec(a)),
        %% the other one has none
        ?assertEqual([], supervisor:which_children({?NAME, Node})),
        Stop = fun(Name) -> ask(T, {stop_service, supervisors, Name}) end,
        ?assertEqual(ok, Stop(more)),
        ?assertEqual(false, tb_lib:alive(Child)),
        tb_lib:until_equal(undefined, fun() -> tb_lib:pid_of(Node, more) end),
        ?assertEqual({error, not_found}, Stop(more)),
        ?assertEqual({error, not_found}, Stop(node_monitor)),
        {ok, _} = Start(more, [{hosts, all}]),
        tb_lib:until_equal([H1], fun() -> ask(S, hosts) end),
        ?assertEqual([], supervisor:which_children(S))
    end).

verbs() ->
    with_tiebeam([h1, h2], #{}, fun(Node, [H1, _] = Nodes) ->
        Run = fun(Args) ->
            {Status, Out, _} = tb_lib:run(
                tb_lib:binary(),
                Args ++ ["--node", atom_to_list(Node), "-setcookie", tb_lib:cookie()],
                []
            ),
            {Status, string:trim(Out)}
        end,
        {0, _} = Run(["start-child", "#{id => a, start => {tb_kid, start_link, []}}", "jobs"]),
        {1, _} = Run(["start-child", "#{id => a}", "jobs"]),
        {0, Line} = Run(["children", "jobs"]),
        ?assertMatch({match, _}, re:run(Line, "^a +<.*> +worker$")),
        {0, Json} = Run(["children", "jobs", "--json"]),
        ?assertMatch({match, _}, re:run(Json, "^\\[\\{\"id\":\"a\",\"pid\":\"<.*>\",\"type\":\"worker\"\\}\\]$")),
        {0, Why} = Run(["explain", "a", "jobs"]),
        ?assertMatch({match, _}, re:run(Why, "belongs_to", [unicode])),
        ?assertEqual({0, "ok"}, Run(["drain", atom_to_list(H1), "jobs"])),
        ?assertEqual(Nodes -- [H1], ask({?NAME, Node}, hosts)),
        ?assertEqual({0, "ok"}, Run(["undrain", atom_to_list(H1), "jobs"])),
        ?assertEqual({0, "ok"}, Run(["rebalance", "jobs"])),
        ?assertEqual({0, "ok"}, Run(["stop-child", "a", "jobs"])),
        {1, _} = Run(["stop-child", "b", "jobs"]),
        {1, _} = Run(["drain", "nobody@nowhere", "jobs"])
    end).

%% What is asked before is answered then, or in some seconds.
later() ->
    T = tiebeam_supervisor,
    Node = list_to_atom("zz_later@" ++ tb_lib:host()),
    {ok, Pid} = T:start_link(#{name => early, node => Node, hosts => all}),
    ?assertEqual(T, supervisor:get_callback_module(Pid)),
    unlink(Pid),
    ?assertEqual({error, {not_attached, [Node]}}, T:start_child(early, five(a))),
    Asked = gen_server:send_request(early, hosts),
    tb_lib:with_daemon(zz_later, #{config => [{tiebeam, [{discovery, []}]}]}, fun(_, There) ->
        ?assertEqual(Node, There),
        ?assertMatch({reply, Hosts} when is_list(Hosts), gen_server:receive_response(Asked, 10000)),
        ?assertEqual([], T:which_children(early))
    end),
    %% it ended with the supervisor
    ?assertNotEqual(killed, gone(Pid)).

%% As that of a DynamicSupervisor without a module.
callback() ->
    Module = 'Elixir.Supervisor.Default',
    {ok, Dynamic} = ?DYN:start_link([]),
    case tb_lib:outcome(fun() -> supervisor:get_callback_module(Dynamic) end) of
        {value, Genuine} -> ?assertEqual(Module, Genuine);
        %% OTP does not understand that of Elixir 1.18
        {error, {badrecord, _}} -> ok
    end,
    ok = ?DYN:stop(Dynamic),
    with_tiebeam([h1], #{}, fun(Node, _) ->
        ?assertEqual(Module, supervisor:get_callback_module(tb_lib:pid_of(Node, ?NAME))),
        ?assertMatch({status, _, {module, _}, [_, running, _, [], [_, _, _, {supervisor, _}]]}, sys:get_status({?NAME, Node}))
    end).

client() ->
    T = tiebeam_supervisor,
    with_tiebeam([h1, h2], #{}, fun(Node, Nodes) ->
        Trap = process_flag(trap_exit, true),
        ?assertEqual(ignore, T:start_link(?MODULE, ignore, #{node => Node})),
        ?assertMatch({error, {supervisor_data, _}}, T:start_link(#{name => more, node => Node, max_restarts => x})),
        {ok, Pid} = T:start_link(?MODULE, [{hosts, all}], #{node => Node, name => more}),
        tb_lib:until(fun() -> T:hosts(more) =:= lists:sort(Nodes) end),
        ?assertEqual(?MODULE, supervisor:get_callback_module(Pid)),
        ?assertMatch(#{options := [_, {max_restarts, 1} | _]}, T:info(more)),
        {ok, A} = T:start_child(more, five(a)),
        ?assertEqual(node(A), T:locate(Pid, five(a))),
        [{ok, B}, ignore] = T:start_children(Pid, [spec(b), {{tb_kid, start, [ignore]}, permanent, 1, worker, []}]),
        ?assertEqual([{b, B, worker, [tb_kid]}, {undefined, A, worker, [tb_kid]}], lists:sort(T:which_children(more))),
        ?assertEqual([{specs, 2}, {active, 2}, {supervisors, 0}, {workers, 2}], T:count_children(more)),
        ?assertEqual(ok, supervisor:terminate_child(more, b)),
        ?assertEqual(ok, T:drain(more, node(A))),
        Other = Nodes -- [node(A)],
        tb_lib:until(fun() -> [node(P) || {undefined, P, _, _} <- T:which_children(more), is_pid(P)] =:= Other end),
        ?assertEqual(ok, T:undrain(more, node(A))),
        ?assertEqual(ok, T:rebalance(more)),
        ?assertMatch(#{state := _}, T:explain(more, b)),
        %% the one here ends without the one there
        exit(Pid, kill),
        receive {'EXIT', Pid, killed} -> ok end,
        {ok, Again} = T:start_link(?MODULE, [{hosts, all}], #{node => Node, name => more}),
        tb_lib:until(fun() -> proplists:get_value(specs, T:count_children(more)) =:= 2 end),
        ?assertEqual(ok, T:stop(more, shutdown)),
        receive {'EXIT', Again, shutdown} -> ok end,
        process_flag(trap_exit, Trap)
    end).
