%% tb_bench_supervisor - a supervisor of the daemon with three hosts, beside
%% one on another BEAM node and one on the caller's own; and how long children
%% are away when hosts go and come.
%%
%% The same callers, the same requests and the same children for all of them.
-module(tb_bench_supervisor).
-behaviour(supervisor).

-export([section/0]).
%% on the other nodes
-export([start_child/1, loop/0, begun/0, kids/0, starts/3, id_starts/2, timed_call/2, memory/1]).
-export([start_dynamic/0, start_supervisor/0, init/1]).

-define(DYN, 'Elixir.DynamicSupervisor').
-define(ELIXIR, "/usr/lib/elixir/lib/elixir/ebin").
-define(NAME, jobs).
-define(SLOW, 60000).
%% children: the first part is started one by one, the last one, too
-define(FEW, 10000).
-define(MANY, 100000).
-define(WITH_ID, 2000).

-spec section() -> [tb_bench:figure()].
section() ->
    at_work(tb_bench:chosen("supervisor: starts")) ++ away().

%% ---------------------------------------------------------------- children

-spec start_child(term()) -> {ok, pid()}.
start_child(_) ->
    Pid = spawn_link(?MODULE, loop, []),
    Started = started(),
    atomics:add(Started, 1, 1),
    atomics:put(Started, 2, os:perf_counter()),
    {ok, Pid}.

-spec loop() -> no_return().
loop() ->
    receive
        _ -> loop()
    end.

%% How many were ever started on this node, and when the last one was.
started() ->
    case persistent_term:get(?MODULE, none) of
        none ->
            Ref = atomics:new(2, []),
            persistent_term:put(?MODULE, Ref),
            Ref;
        Ref ->
            Ref
    end.

%% Nanoseconds of the clock that all programs of this machine share.
-spec begun() -> {non_neg_integer(), integer()}.
begun() ->
    {atomics:get(started(), 1), atomics:get(started(), 2)}.

%% Processes of this node that are children, whoever knows of them.
-spec kids() -> [pid()].
kids() ->
    [P || P <- processes(), process_info(P, current_function) =:= {current_function, {?MODULE, loop, 0}}].

spec(N) ->
    {{?MODULE, start_child, [N]}, permanent, 5000, worker, [?MODULE]}.

%% ----------------------------------------------------- on the caller's node

%% N starts by some callers: how many per second.
-spec starts(term(), pos_integer(), pos_integer()) -> float().
starts(Sup, Callers, N) ->
    Each = N div Callers,
    rate(Each * Callers, fun() ->
        Running = [spawn_monitor(fun() -> start_each(Sup, Each) end) || _ <- lists:seq(1, Callers)],
        [receive {'DOWN', Ref, process, Pid, Why} -> normal = Why end || {Pid, Ref} <- Running]
    end).

start_each(_, 0) ->
    ok;
start_each(Sup, N) ->
    {ok, _} = gen_server:call(Sup, {start_child, spec(erlang:unique_integer())}, ?SLOW),
    start_each(Sup, N - 1).

-spec id_starts(term(), pos_integer()) -> float().
id_starts(Sup, N) ->
    rate(N, fun() ->
        [{ok, _} = supervisor:start_child(Sup, #{id => I, start => {?MODULE, start_child, [I]}}) || I <- lists:seq(1, N)]
    end).

rate(N, Fun) ->
    Start = os:perf_counter(),
    _ = Fun(),
    N * 1.0e9 / (os:perf_counter() - Start).

%% Milliseconds.
-spec timed_call(term(), term()) -> float().
timed_call(Sup, Request) ->
    Start = os:perf_counter(),
    _ = gen_server:call(Sup, Request, ?SLOW),
    (os:perf_counter() - Start) / 1.0e6.

%% Bytes of a process of this node.
-spec memory(pid()) -> non_neg_integer().
memory(Pid) ->
    true = erlang:garbage_collect(Pid),
    {memory, Bytes} = process_info(Pid, memory),
    Bytes.

-spec start_dynamic() -> {ok, pid()}.
start_dynamic() ->
    true = code:add_pathz(?ELIXIR),
    {ok, Pid} = ?DYN:start_link([{strategy, one_for_one}]),
    true = unlink(Pid),
    {ok, Pid}.

-spec start_supervisor() -> {ok, pid()}.
start_supervisor() ->
    {ok, Pid} = supervisor:start_link(?MODULE, []),
    true = unlink(Pid),
    {ok, Pid}.

-spec init([]) -> {ok, {supervisor:sup_flags(), []}}.
init([]) ->
    {ok, {#{strategy => one_for_one}, []}}.

%% ------------------------------------------------- starts, counts, memory

at_work(false) ->
    [];
at_work(true) ->
    tb_bench:note("supervisor: starts", []),
    Rounds = lists:seq(1, tb_bench:rounds()),
    {Local, Remote, Ours} = lists:unzip3([{dynamic(local), dynamic(remote), ours()} || _ <- Rounds]),
    figures(Remote, Ours) ++
        [
            {Text ++ ", a local one beside it: per s", "per s", value(Key, Local), value(Key, Ours), none}
         || {Text, Key} <- [{"supervisor: starts, 1 caller", one}, {"supervisor: starts, 16 callers", many}]
        ].

%% {what is measured, its key, its target}
rows() ->
    [
        {"starts, 1 caller: per s", one, {value, '>=', 4000}},
        {"starts, 16 callers: per s", many, {value, '>=', 25000}},
        {"starts, 16 callers: server's CPU, µs each", cpu, none},
        {"starts, 16 callers, beside 100,000: per s", late, none},
        {"starts, that to the one above", kept, {value, '>=', 0.8}},
        {"starts, 10,000 in one request: per s", batch, {value, '>=', 100000}},
        {"starts, 10,000 in one request: own CPU, µs each", batch_cpu, none},
        {"starts with an id, 1 caller, to 2,000: per s", ids, none},
        {"count_children of 10,000: ms", {count, ?FEW}, none},
        {"count_children of 100,000: ms", {count, ?MANY}, {value, '=<', 1}},
        {"which_children of 10,000: ms", {which, ?FEW}, none},
        {"which_children of 100,000: ms", {which, ?MANY}, {value, '=<', 60}},
        {"which_children of 100,000: server's CPU, ms", {which_cpu, ?MANY}, none},
        {"bytes per child, at 10,000", {bytes, ?FEW}, none},
        {"bytes per child, at 100,000", {bytes, ?MANY}, {value, '=<', 300}}
    ].

figures(Remote, Ours) ->
    [{"supervisor: " ++ Text, "", value(Key, Remote), value(Key, Ours), Target} || {Text, Key, Target} <- rows()].

value(Key, Samples) ->
    case [V || #{Key := V} <- Samples] of
        [] -> none;
        Values -> tb_bench:median(Values)
    end.

%% A DynamicSupervisor on the node of its callers, or on another one.
dynamic(Where) ->
    case filelib:is_dir(?ELIXIR) of
        true -> dynamic_at(Where);
        false -> #{}
    end.

dynamic_at(Where) ->
    Client = beam(client),
    Other = beam(other),
    Caller = tb_lib:node_of(Client),
    Server =
        case Where of
            local -> Client;
            remote -> Other
        end,
    Node = tb_lib:node_of(Server),
    {ok, Sup} = erpc:call(Node, ?MODULE, start_dynamic, []),
    Empty = erpc:call(Node, ?MODULE, memory, [Sup]),
    Bytes = fun(N) -> (erpc:call(Node, ?MODULE, memory, [Sup]) - Empty) / N end,
    More = fun(N) -> erpc:call(Caller, ?MODULE, starts, [Sup, 16, N], infinity) end,
    Sample = sample(Caller, Sup, Bytes, More, tb_lib:os_pid(Server)),
    {ok, Named} = erpc:call(Node, ?MODULE, start_supervisor, []),
    Ids = erpc:call(Caller, ?MODULE, id_starts, [Named, ?WITH_ID], infinity),
    [tb_lib:end_beam(B) || B <- [Client, Other]],
    Sample#{ids => Ids}.

ours() ->
    with_cluster([], fun(#{daemon := Daemon, sup := Sup}) ->
        Client = beam(client),
        Caller = tb_lib:node_of(Client),
        true = erpc:call(Caller, net_kernel, connect_node, [tb_lib:node_of(Daemon)]),
        Pid = tb_lib:os_pid(Daemon),
        Empty = tb_bench:resident_kib(Pid),
        Bytes = fun(N) -> (tb_bench:resident_kib(Pid) - Empty) * 1024 / N end,
        More = fun(N) -> rate(N, fun() -> start_all(Sup, N) end) end,
        Sample = sample(Caller, Sup, Bytes, More, Pid),
        {Batch, BatchCpu} = with_cpu(Pid, fun() -> More(?FEW) end),
        Ids = erpc:call(Caller, ?MODULE, id_starts, [Sup, ?WITH_ID], infinity),
        tb_lib:end_beam(Client),
        Sample#{ids => Ids, batch => Batch, batch_cpu => BatchCpu / ?FEW / 1000}
    end).

start_all(Sup, N) when N > ?FEW ->
    start_all(Sup, ?FEW),
    start_all(Sup, N - ?FEW);
start_all(Sup, N) ->
    Results = gen_server:call(Sup, {start_children, [spec(erlang:unique_integer()) || _ <- lists:seq(1, N)]}, ?SLOW),
    [] = [R || R <- Results, element(1, R) =/= ok].

%% With the nanoseconds that a program of this machine used for it.
with_cpu(Pid, Fun) ->
    Tool = tb_bench:tool('none@none', 0),
    Before = tb_bench:cpu_ns(Tool, Pid),
    Result = Fun(),
    Used = tb_bench:cpu_ns(Tool, Pid) - Before,
    port_close(Tool),
    {Result, Used}.

%% One by one to the smaller number; the larger one is made up by More.
sample(Caller, Sup, Bytes, More, Pid) ->
    Starts = fun(Callers, N) -> erpc:call(Caller, ?MODULE, starts, [Sup, Callers, N], infinity) end,
    One = Starts(1, ?FEW div 2),
    Half = ?FEW div 2,
    {Many, Cpu} = with_cpu(Pid, fun() -> Starts(16, Half) end),
    Few = sizes(Caller, Sup, Bytes, ?FEW, Pid),
    _ = More(?MANY - ?FEW),
    All = sizes(Caller, Sup, Bytes, ?MANY, Pid),
    Late = Starts(16, Half),
    maps:merge(maps:merge(Few, All), #{one => One, many => Many, cpu => Cpu / Half / 1000, late => Late, kept => Late / Many}).

sizes(Caller, Sup, Bytes, N, Pid) ->
    Memory = Bytes(N),
    Times = 5,
    Ms = fun(Request) ->
        [erpc:call(Caller, ?MODULE, timed_call, [Sup, Request], infinity) || _ <- lists:seq(1, Times)]
    end,
    Count = Ms(count_children),
    {Which, Cpu} = with_cpu(Pid, fun() -> Ms(which_children) end),
    #{
        {bytes, N} => Memory,
        {count, N} => tb_bench:median(Count),
        {which, N} => tb_bench:median(Which),
        {which_cpu, N} => Cpu / Times / 1.0e6
    }.

%% -------------------------------------------------------- hosts go and come

away() ->
    lists:append([
        begin
            tb_bench:note("~ts", [Name]),
            scenario(Name, Do, Targets)
        end
     || {Name, Do, Targets} <- scenarios(), tb_bench:chosen(Name)
    ]).

scenarios() ->
    Exact = {value, '=<', 0},
    [
        {"supervisor: kill 1 of 3 hosts, 1,000 children", fun() -> killed(1, 1000) end, [
            {ms, "ms", {value, '=<', 30}}, {wrong, "lost or doubled", Exact}
        ]},
        {"supervisor: kill 1 of 3 hosts, 10,000 children", fun() -> killed(1, 10000) end, [
            {ms, "ms", {value, '=<', 80}}, {wrong, "lost or doubled", Exact}
        ]},
        {"supervisor: kill 2 of 3 hosts at once, 1,000 children", fun() -> killed(2, 1000) end, [
            {ms, "ms", {value, '=<', 60}}, {wrong, "lost or doubled", Exact}
        ]},
        {"supervisor: a 4th host joins, 1,000 children", fun() -> joined(true) end, [
            {moves, "moves", {value, '=<', 260}},
            {ms, "from its connection, settle_ms 0: ms", {value, '=<', 300}},
            {wrong, "lost or doubled", Exact}
        ]},
        {"supervisor: rebalance to a 4th host, 1,000 children", fun() -> joined(false) end, [
            {ms, "ms", none}, {wrong, "lost or doubled", Exact}
        ]}
    ].

scenario(Name, Do, Keys) ->
    Samples = [Do() || _ <- lists:seq(1, tb_bench:rounds())],
    [{Name ++ ": " ++ Text, "", none, of_rounds(Key, Samples), Target} || {Key, Text, Target} <- Keys].

%% What must not be is not made good by another round.
of_rounds(wrong, Samples) ->
    lists:max([maps:get(wrong, S) || S <- Samples]);
of_rounds(Key, Samples) ->
    tb_bench:median([maps:get(Key, S) || S <- Samples]).

%% Milliseconds from the signal to the last start.
killed(Victims, N) ->
    with_cluster([], fun(#{hosts := Hosts, sup := Sup}) ->
        start_all(Sup, N),
        {Gone, Stay} = lists:split(Victims, Hosts),
        Lost = length(lists:append([kids_of([B]) || B <- Gone])),
        Before = begun_on(Stay),
        Tool = tb_bench:tool('none@none', 0),
        Start = os:perf_counter(),
        [0 = tb_bench:ask(Tool, "kill", tb_lib:os_pid(B)) || B <- Gone],
        ok = all_started(Stay, Before, Lost),
        ok = counted(Sup, N),
        port_close(Tool),
        #{ms => (last_start(Stay) - Start) / 1.0e6, wrong => wrong(Sup, Stay, N)}
    end).

joined(Balance) ->
    N = 1000,
    with_cluster([{locator, rendezvous}, {settle_ms, 0}, {auto_balance, Balance}], fun(Cluster) ->
        #{hosts := Hosts, sup := {_, Node} = Sup} = Cluster,
        start_all(Sup, N),
        Pids = pids(Sup),
        New = host(h4),
        Start = os:perf_counter(),
        true = rpc:call(tb_lib:node_of(New), net_kernel, connect_node, [Node]),
        All = [New | Hosts],
        Result =
            case Balance of
                true -> settled(Sup, All, Start, N);
                false -> rebalanced(Sup, All, N)
            end,
        Moves = length(pids(Sup) -- Pids),
        tb_lib:end_beam(New),
        Result#{moves => Moves}
    end).

rebalanced(Sup, All, N) ->
    is_host(Sup, All),
    Start = os:perf_counter(),
    ok = gen_server:call(Sup, rebalance, ?SLOW),
    settled(Sup, All, Start, N).

settled(Sup, [New | _] = All, Start, N) ->
    tb_lib:until(fun() -> kids_of([New]) =/= [] end, ?SLOW),
    ok = at_rest(Sup),
    ok = counted(Sup, N),
    #{ms => (last_start([New]) - Start) / 1.0e6, wrong => wrong(Sup, All, N)}.

%% ---------------------------------------------------------------- clusters

with_cluster(Options, Fun) ->
    Hosts = [host(N) || N <- [h1, h2, h3]],
    May = [list_to_atom(tb_lib:name(N)) || N <- [h1, h2, h3, h4]],
    Nodes = [list_to_atom(atom_to_list(N) ++ "@" ++ tb_lib:host()) || N <- May],
    Sups = [{?NAME, [{hosts, {nodes, Nodes}} | Options]}],
    Daemon = tb_lib:daemon(zz_tiebeam, #{config => [{tiebeam, [{discovery, []}, {supervisors, Sups}]}]}),
    Sup = {?NAME, tb_lib:node_of(Daemon)},
    [true = rpc:call(tb_lib:node_of(H), net_kernel, connect_node, [tb_lib:node_of(Daemon)]) || H <- Hosts],
    is_host(Sup, Hosts),
    Result = Fun(#{hosts => Hosts, daemon => Daemon, sup => Sup}),
    tb_lib:stop(Daemon),
    [tb_lib:end_beam(H) || H <- Hosts],
    Result.

%% With the names that the configuration tells.
host(Name) ->
    beam(list_to_atom(tb_lib:name(Name))).

beam(Name) ->
    Beam = tb_lib:beam(Name, #{args => ["-kernel", "logger_level", "none"]}),
    {module, _} = rpc:call(tb_lib:node_of(Beam), code, ensure_loaded, [?MODULE]),
    Beam.

is_host(Sup, Hosts) ->
    Nodes = lists:sort([tb_lib:node_of(H) || H <- Hosts]),
    tb_lib:until_equal(Nodes, fun() -> gen_server:call(Sup, hosts, ?SLOW) end, ?SLOW).

begun_on(Beams) ->
    [rpc:call(tb_lib:node_of(B), ?MODULE, begun, []) || B <- Beams].

kids_of(Beams) ->
    lists:append([rpc:call(tb_lib:node_of(B), ?MODULE, kids, []) || B <- Beams]).

last_start(Beams) ->
    lists:max([At || {_, At} <- begun_on(Beams)]).

all_started(Beams, Before, More) ->
    Sum = fun(Begun) -> lists:sum([N || {N, _} <- Begun]) end,
    tb_lib:until(fun() -> Sum(begun_on(Beams)) - Sum(Before) >= More end, ?SLOW).

counted(Sup, N) ->
    tb_lib:until_equal(N, fun() -> proplists:get_value(active, gen_server:call(Sup, count_children, ?SLOW)) end, ?SLOW).

%% No child moves for half a second.
at_rest(Sup) ->
    Moves = moves(Sup),
    receive
    after 500 -> ok
    end,
    case moves(Sup) of
        Moves -> ok;
        _ -> at_rest(Sup)
    end.

moves(Sup) ->
    #{counters := #{moves := Moves}} = gen_server:call(Sup, info, ?SLOW),
    Moves.

pids(Sup) ->
    [P || {_, P, _, _} <- gen_server:call(Sup, which_children, ?SLOW)].

%% By the processes themselves, and by what the daemon knows.
wrong(Sup, Beams, N) ->
    Kids = kids_of(Beams),
    Known = pids(Sup),
    abs(N - length(Kids)) + length(Known -- Kids) + length(Kids -- Known).
