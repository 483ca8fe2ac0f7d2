%% tb_bench - tiebeam beside the BEAM. One Erlang client asks the same of two
%% servers, in turns: a gen_server of another BEAM node (below), and the C
%% program bench_server. What counts is the ratio inside one run.
%%
%% The node that runs main/0 only drives: client and servers are nodes of their
%% own, on the CPUs that a section names.
-module(tb_bench).
-behaviour(gen_server).

-export([main/0]).
-export([measure/2]).
-export([chosen/1, rounds/0, median/1, note/2, tool/2, ask/3, cpu_ns/2, resident_kib/1]).
-export_type([figure/0]).
-export([start_server/0, init/1, handle_call/3, handle_cast/2]).

-define(SLICE_MS, 400).
-define(IDLE_MS, 10000).
-define(CROWD, 5000).
-define(SUBSCRIBERS, 10000).

%% At most, or at least, a value or a ratio of tiebeam to BEAM.
-type target() :: none | {ratio | value, '=<' | '>=', number()}.
-type figure() :: {string(), Unit :: string(), Beam :: number() | none, Tiebeam :: number(), target()}.

-spec main() -> no_return().
main() ->
    ok = io:setopts([{encoding, unicode}]),
    Epmd = tb_lib:join(bench),
    is_tls() orelse print_machine(),
    [print_section(Title, Section()) || {Title, Section} <- sections(is_tls())],
    tb_lib:leave(Epmd),
    halt(0, [{flush, true}]).

sections(true) ->
    [{"TLS 1.3, beside a BEAM over TLS 1.3: client and server on any CPU", fun() -> echo(tls) end}];
sections(false) ->
    [
        {"Round trips and throughput: client and server on any CPU", fun() -> echo(free) end},
        {"Client and server on different CPUs", fun() -> echo(split) end},
        {"Client and server on one CPU", fun() -> echo(same) end},
        {"Boot: the daemon beside erl -noinput", fun boot/0},
        {"Idle: the daemon beside erl -noinput, one connection each", fun idle/0},
        {"A crowd of nodes", fun crowd/0},
        {"Subscribers of node events: on one BEAM node, told by its own net_kernel or by a daemon", fun subscribers/0},
        {"Discovery: the daemon beside what libcluster's DNSPoll is documented to do, each second", fun tb_bench_discovery:section/0},
        {"Supervision: three hosts and the daemon, beside a supervisor on another BEAM node", fun tb_bench_supervisor:section/0}
    ].

%% The nodes of a TLS section can only be driven by one that speaks TLS.
is_tls() ->
    init:get_argument(proto_dist) =/= error.

%% -------------------------------------------------------------------- rows

%% What is measured, and the targets of what comes of it.
rows(free) ->
    trips("any CPU", [0.80, 0.80, 0.70]) ++
        [
            {"round trip 16 MiB", {round_trip, 16 bsl 20}, #{p50 => none}},
            {"calls 16 B, 1 caller", {calls, 16, 1}, #{rate => none, cpu => none}},
            {"calls 16 B, 16 callers", {calls, 16, 16}, #{rate => none, cpu => none}},
            {"calls 16 B, 64 callers", {calls, 16, 64}, #{
                rate => {ratio, '>=', 2.2}, cpu => {value, '=<', 6}
            }},
            {"calls 16 B, 256 callers", {calls, 16, 256}, #{rate => none, cpu => none}},
            {"calls 1 KiB, 64 callers", {calls, 1024, 64}, #{
                rate => {ratio, '>=', 1.8}, cpu => {value, '=<', 6.5}
            }},
            {"casts 16 B", {casts, 16, 100000}, #{
                rate => {ratio, '>=', 1.3}, cpu => {value, '=<', 2}
            }},
            {"batch echo 16 B", {batch, 16, 50000}, #{
                rate => {ratio, '>=', 1.8}, cpu => {value, '=<', 0.8}
            }},
            {"batch echo 1 KiB", {batch, 1024, 20000}, #{
                rate => {ratio, '>=', 2.4}, cpu => {value, '=<', 0.8}
            }},
            {"server to client 16 B", {flood, 16, 400000}, #{
                rate => {value, '>=', 1200000}, cpu => none
            }},
            {"server to client 1 KiB", {flood, 1024, 100000}, #{
                rate => {value, '>=', 200000}, cpu => none
            }}
        ];
rows(split) ->
    trips("different CPUs", [0.87, 0.87, 0.78]);
rows(same) ->
    trips("one CPU", [0.55, 0.55, 0.45]);
rows(tls) ->
    trips("TLS", [0.80, 0.80, 0.70]) ++
        [
            {"calls 16 B, 64 callers, TLS", {calls, 16, 64}, #{rate => {ratio, '>=', 2.2}, cpu => none}},
            {"casts 16 B, TLS", {casts, 16, 50000}, #{rate => {ratio, '>=', 1.3}, cpu => none}},
            {"server to client 1 KiB, TLS", {flood, 1024, 50000}, #{rate => none, cpu => none}}
        ].

trips(Where, Targets) ->
    Sizes = [{"16 B", 16}, {"1 KiB", 1 bsl 10}, {"64 KiB", 64 bsl 10}],
    [
        {"round trip " ++ Text ++ ", " ++ Where, {round_trip, Size}, #{
            p50 => {ratio, '=<', Target}, p99 => none, cpu => none
        }}
     || {{Text, Size}, Target} <- lists:zip(Sizes, Targets)
    ].

%% Figures of one kind of work, in the order in which they are shown.
units() ->
    [{p50, "p50, µs"}, {p99, "p99, µs"}, {rate, "per s"}, {cpu, "server's CPU, µs each"}].

%% ------------------------------------------------------------- the servers

%% Where client and server run: {Client, Server}, as taskset wants it.
cpus(Placement) ->
    {match, Found} = re:run(
        os:cmd("taskset -cp " ++ os:getpid()), "list: *(([0-9]+)[0-9,-]*?([0-9]*))\\s", [
            {capture, all_but_first, list}
        ]
    ),
    [All, First | Rest] = Found,
    Last =
        case Rest of
            [""] -> First;
            [L] -> L
        end,
    case Placement of
        split -> {First, Last};
        same -> {First, First};
        _ -> {All, All}
    end.

echo(Placement) ->
    case [Row || {Name, _, _} = Row <- rows(Placement), chosen(Name)] of
        [] ->
            [];
        Rows ->
            {ClientCpus, ServerCpus} = cpus(Placement),
            {Client, ClientNode} = beam(client, ClientCpus),
            Beam = beam_server(ServerCpus),
            C = c_server(ServerCpus),
            Tool = tool('none@none', 0),
            Figures = lists:append([row(Row, ClientNode, Beam, C, Tool) || Row <- Rows]),
            port_close(Tool),
            [ok = tb_lib:kill(P) || P <- [Client, element(1, Beam), element(1, C)]],
            Figures
    end.

beam(Name, Cpus) ->
    Erl = filename:join([code:root_dir(), "bin", "erl"]),
    Args =
        ["-c", Cpus, Erl, "-sname", tb_lib:name(Name), "-setcookie", tb_lib:cookie()] ++
            ["-noinput", "-start_epmd", "false", "-connect_all", "false"] ++
            ["-pa", filename:dirname(code:which(?MODULE))] ++
            ["-kernel", "prevent_overlapping_partitions", "false"] ++
            ["-eval", "io:put_chars(\"ready\\n\")"] ++ tls_flags(),
    {launch("/usr/bin/taskset", Args), node_name(Name)}.

beam_server(Cpus) ->
    {Program, Node} = beam(beam_server, Cpus),
    {ok, _} = erpc:call(Node, ?MODULE, start_server, []),
    {Program, Node}.

c_server(Cpus) ->
    Node = node_name(c_server),
    Args = ["-c", Cpus, tb_lib:tmp("bench_server"), atom_to_list(Node), tb_lib:cookie()] ++
        [os:getenv("TB_CERTS") || is_tls()],
    {launch("/usr/bin/taskset", Args), Node}.

%% As those of this node.
tls_flags() ->
    [
        Flag
     || Name <- [proto_dist, ssl_dist_optfile],
        {ok, [[Value]]} <- [init:get_argument(Name)],
        Flag <- ["-" ++ atom_to_list(Name), Value]
    ].

node_name(Name) ->
    list_to_atom(tb_lib:name(Name) ++ "@" ++ tb_lib:host()).

launch(Executable, Args) ->
    Program = tb_lib:start(Executable, Args),
    tb_lib:until(fun() -> binary:match(tb_lib:output(Program), <<"ready\n">>) =/= nomatch end),
    Program.

%% The gen_server that bench_server.c does in C.
-spec start_server() -> {ok, pid()}.
start_server() ->
    gen_server:start({local, bench}, ?MODULE, [], []).

-type state() :: {Sunk :: non_neg_integer(), Crowd :: [pid()]}.

-spec init([]) -> {ok, state()}.
init([]) ->
    {ok, {0, []}}.

-spec handle_call(term(), {pid(), term()}, state()) -> {reply, term(), state()}.
handle_call({echo, Term}, _, State) ->
    {reply, Term, State};
handle_call(sunk, _, {Sunk, _} = State) ->
    {reply, Sunk, State}.

-spec handle_cast(term(), state()) -> {noreply, state()}.
handle_cast({sink, _}, {Sunk, Crowd}) ->
    {noreply, {Sunk + 1, Crowd}};
handle_cast({flood, To, N, Size}, State) ->
    flood(To, N, binary:copy(<<0>>, Size)),
    {noreply, State};
handle_cast({join, Pid}, {Sunk, Crowd}) ->
    Pid ! joined,
    {noreply, {Sunk, [Pid | Crowd]}};
handle_cast({broadcast, N}, {_, Crowd} = State) ->
    [Pid ! {broadcast, N} || Pid <- lists:sublist(lists:reverse(Crowd), N)],
    {noreply, State}.

flood(_, 0, _) ->
    ok;
flood(To, N, Data) ->
    To ! {flood, Data},
    flood(To, N - 1, Data).

%% -------------------------------------------------------------- one row

row({Name, Work, Targets}, Client, Beam, C, Tool) ->
    note("~ts", [Name]),
    _ = [sample(Client, Server, Work, Tool) || Server <- [Beam, C]],
    {OfBeam, OfC} = lists:unzip([
        {sample(Client, Beam, Work, Tool), sample(Client, C, Work, Tool)}
     || _ <- lists:seq(1, rounds())
    ]),
    [
        {Name ++ ": " ++ Unit, Unit, value(Key, OfBeam), value(Key, OfC), maps:get(Key, Targets)}
     || {Key, Unit} <- units(), is_map_key(Key, Targets)
    ].

%% One measurement, with the server's CPU time around it.
sample(Client, {Program, Node}, Work, Tool) ->
    Pid = tb_lib:os_pid(Program),
    Before = cpu_ns(Tool, Pid),
    Result = erpc:call(Client, ?MODULE, measure, [{bench, Node}, Work], 120000),
    Result#{cpu => cpu_ns(Tool, Pid) - Before}.

value(cpu, Samples) ->
    lists:sum([Ns || #{cpu := Ns} <- Samples]) / lists:sum([N || #{n := N} <- Samples]) / 1000;
value(Key, Samples) ->
    median([maps:get(Key, Sample) || Sample <- Samples]).

%% ----------------------------------------------------------- in the client

%% n: how many messages the server handled for the figure.
-spec measure({atom(), node()}, tuple()) -> #{n := pos_integer(), atom() => number()}.
measure(Server, {round_trip, Size}) ->
    Request = {echo, binary:copy(<<0>>, Size)},
    Times = lists:sort(timed_calls(Server, Request, deadline(), [])),
    N = length(Times),
    #{n => N, p50 => nth_us(Times, N div 2 + 1), p99 => nth_us(Times, N * 99 div 100 + 1)};
measure(Server, {calls, Size, Callers}) ->
    Request = {echo, binary:copy(<<0>>, Size)},
    Call = fun() -> exit({calls, count_calls(Server, Request, deadline(), 0)}) end,
    timed(fun() ->
        Running = [spawn_monitor(Call) || _ <- lists:seq(1, Callers)],
        lists:sum([
            receive
                {'DOWN', Ref, process, Pid, {calls, N}} -> N
            end
         || {Pid, Ref} <- Running
        ])
    end);
measure(Server, {casts, Size, N}) ->
    Request = {sink, binary:copy(<<0>>, Size)},
    Before = gen_server:call(Server, sunk),
    timed(fun() ->
        _ = [ok = gen_server:cast(Server, Request) || _ <- lists:seq(1, N)],
        gen_server:call(Server, sunk, infinity) - Before
    end);
measure(Server, {batch, Size, N}) ->
    Tag = make_ref(),
    Message = {'$gen_call', {self(), Tag}, {echo, binary:copy(<<0>>, Size)}},
    timed(fun() ->
        _ = [Server ! Message || _ <- lists:seq(1, N)],
        _ = [
            receive
                {Tag, _} -> ok
            end
         || _ <- lists:seq(1, N)
        ],
        N
    end);
measure(Server, {flood, Size, N}) ->
    Portion = N div 20,
    More = fun() -> gen_server:cast(Server, {flood, self(), Portion, Size}) end,
    timed(fun() ->
        ok = More(), %% there is always one more under way
        _ = [
            begin
                ok = More(),
                take_flood(Portion)
            end
         || _ <- lists:seq(1, 20)
        ],
        take_flood(Portion),
        N + Portion
    end).

timed(Fun) ->
    Start = erlang:monotonic_time(microsecond),
    N = Fun(),
    #{n => N, rate => N * 1.0e6 / (erlang:monotonic_time(microsecond) - Start)}.

deadline() ->
    erlang:monotonic_time(millisecond) + ?SLICE_MS.

timed_calls(Server, Request, Deadline, Times) ->
    Start = erlang:monotonic_time(),
    _ = gen_server:call(Server, Request, infinity),
    Time = erlang:monotonic_time() - Start,
    case erlang:monotonic_time(millisecond) < Deadline of
        true -> timed_calls(Server, Request, Deadline, [Time | Times]);
        false -> [Time | Times]
    end.

nth_us(Times, N) ->
    erlang:convert_time_unit(lists:nth(N, Times), native, nanosecond) / 1000.

count_calls(Server, Request, Deadline, N) ->
    _ = gen_server:call(Server, Request, infinity),
    case erlang:monotonic_time(millisecond) < Deadline of
        true -> count_calls(Server, Request, Deadline, N + 1);
        false -> N + 1
    end.

take_flood(0) ->
    ok;
take_flood(N) ->
    receive
        {flood, _} -> take_flood(N - 1)
    end.

%% ----------------------------------------------------------- boot and idle

boot() ->
    chosen("boot") andalso note("boot", []),
    boot(chosen("boot")).

boot(false) ->
    [];
boot(true) ->
    {OfErl, OfC} = lists:unzip([
        {boot_once(erl, N), boot_once(tiebeam, N)}
     || N <- lists:seq(1, 2 * rounds())
    ]),
    [
        {"boot: in epmd, ms", "ms", median([T || {T, _} <- OfErl]), median([T || {T, _} <- OfC]), none},
        {"boot: first answer, ms", "ms", median([T || {_, T} <- OfErl]), median([T || {_, T} <- OfC]),
            {value, '=<', 10}}
    ].

%% Milliseconds from its spawn until its name stands in epmd, and until it has
%% answered a ping.
boot_once(What, N) ->
    Name = list_to_atom(atom_to_list(What) ++ integer_to_list(N)),
    Start = erlang:monotonic_time(),
    {Program, Node} = plain_node(What, Name),
    until_listed(tb_lib:name(Name)),
    Listed = erlang:monotonic_time(),
    pong = net_adm:ping(Node),
    Answered = erlang:monotonic_time(),
    ok = tb_lib:kill(Program),
    {ms(Listed - Start), ms(Answered - Start)}.

%% erl or the daemon, as it starts without any configuration.
plain_node(What, Name) ->
    Args = ["-sname", tb_lib:name(Name), "-setcookie", tb_lib:cookie()],
    Program =
        case What of
            tiebeam -> tb_lib:start(tb_lib:tmp("tiebeam"), Args);
            erl -> tb_lib:start(filename:join([code:root_dir(), "bin", "erl"]), ["-noinput" | Args])
        end,
    {Program, node_name(Name)}.

until_listed(Name) ->
    {ok, Names} = tb_raw:names(tb_lib:epmd_port()),
    lists:keymember(Name, 1, Names) orelse until_listed(Name).

ms(Native) ->
    erlang:convert_time_unit(Native, native, microsecond) / 1000.

idle() ->
    chosen("idle") andalso note("idle", []),
    idle(chosen("idle")).

idle(false) ->
    [];
idle(true) ->
    Tool = tool('none@none', 0),
    Nodes = [plain_node(erl, idle_erl), plain_node(tiebeam, idle_tiebeam)],
    [tb_lib:until(fun() -> net_adm:ping(Node) =:= pong end) || {_, Node} <- Nodes],
    timer:sleep(3000),
    Pids = [tb_lib:os_pid(Program) || {Program, _} <- Nodes],
    Before = [cpu_ns(Tool, Pid) || Pid <- Pids],
    timer:sleep(?IDLE_MS),
    [ErlCpu, Cpu] = [
        (cpu_ns(Tool, Pid) - B) / 1000 / ?IDLE_MS
     || {Pid, B} <- lists:zip(Pids, Before)
    ],
    [ErlMiB, MiB] = [resident_kib(Pid) / 1024 || Pid <- Pids],
    port_close(Tool),
    [ok = tb_lib:kill(Program) || {Program, _} <- Nodes],
    [
        {"idle: resident, MiB", "MiB", ErlMiB, MiB, {value, '=<', 5}},
        {"idle: CPU, ms per s", "ms/s", ErlCpu, Cpu, {value, '=<', 0.1}}
    ].

-spec resident_kib(pos_integer()) -> non_neg_integer().
resident_kib(Pid) ->
    {ok, Status} = file:read_file("/proc/" ++ integer_to_list(Pid) ++ "/status"),
    {match, [KiB]} = re:run(Status, "VmRSS:\\s+(\\d+) kB", [{capture, all_but_first, binary}]),
    binary_to_integer(KiB).

%% ------------------------------------------------------------------- crowd

crowd() ->
    Name = integer_to_list(?CROWD) ++ " connections",
    chosen(Name) andalso note("~ts", [Name]),
    crowd(Name, chosen(Name)).

crowd(_, false) ->
    [];
crowd(Name, true) ->
    {All, _} = cpus(free),
    Beam = crowd_of(beam_server(All)),
    C = crowd_of(c_server(All)),
    [
        {Name ++ ": " ++ Text, Text, maps:get(Key, Beam), maps:get(Key, C), Target}
     || {Key, Text, Target} <- [
            {resident, "resident, MiB", {value, '=<', 100}},
            {each, "KiB each", {value, '=<', 16}},
            {few, "a message to 1,000 of them, µs each", none},
            {all, "a message to all, µs each", none},
            {growth, "that per message, all to 1,000", {value, '=<', 1.5}}
        ]
    ].

crowd_of({Program, Node}) ->
    [Alive, _] = string:split(atom_to_list(Node), "@"),
    {ok, Names} = tb_raw:names(tb_lib:epmd_port()),
    {Alive, Port} = lists:keyfind(Alive, 1, Names),
    Tool = tool(Node, Port),
    Pid = tb_lib:os_pid(Program),
    Empty = resident_kib(Pid),
    1000 = ask(Tool, "connect", 1000),
    Few = broadcast_us(Tool, 1000),
    ?CROWD = ask(Tool, "connect", ?CROWD - 1000),
    All = broadcast_us(Tool, ?CROWD),
    Full = resident_kib(Pid),
    port_close(Tool),
    ok = tb_lib:kill(Program),
    #{
        resident => Full / 1024,
        each => (Full - Empty) / ?CROWD,
        few => Few,
        all => All,
        growth => All / Few
    }.

broadcast_us(Tool, N) ->
    median([ask(Tool, "broadcast", N) || _ <- lists:seq(1, rounds() + 2)]) / N.

%% ------------------------------------------------------------- subscribers

%% Processes of this VM. A node comes and goes: how long is it from the first
%% of them that knows to the last one, and what did that cost the daemon?
subscribers() ->
    Name = "subscribers",
    chosen(Name) andalso note("~ts", [Name]),
    subscribers(chosen(Name)).

subscribers(false) ->
    [];
subscribers(true) ->
    Visitor = tb_lib:beam(visitor),
    V = tb_lib:node_of(Visitor),
    Own = told(fun() -> net_kernel:monitor_nodes(true, [{node_type, all}]) end, fun
        (up) -> true = net_kernel:connect_node(V);
        (down) -> true = erlang:disconnect_node(V)
    end, V),
    Daemon = tb_lib:daemon(subscribed),
    N = tb_lib:node_of(Daemon),
    true = net_kernel:connect_node(N),
    Pid = tb_lib:os_pid(Daemon),
    Before = resident_kib(Pid),
    [Alive, _] = string:split(atom_to_list(N), "@"),
    {ok, Names} = tb_raw:names(tb_lib:epmd_port()),
    Tool = tool(N, element(2, lists:keyfind(Alive, 1, Names))),
    Cpu = cpu_ns(Tool, Pid),
    Subscribe = fun() -> gen_server:call({node_monitor, N}, {monitor_nodes, true, []}, infinity) end,
    Ours = told(Subscribe, fun
        (up) -> ok = tb_lib:call(N, {connect, V});
        (down) -> true = tb_lib:call(N, {disconnect, V})
    end, V),
    Used = cpu_ns(Tool, Pid) - Cpu,
    Grown = resident_kib(Pid) - Before,
    port_close(Tool),
    tb_lib:stop(Daemon),
    tb_lib:end_beam(Visitor),
    Text = integer_to_list(?SUBSCRIBERS) ++ " subscribers: ",
    [
        {Text ++ "all know, µs each", "µs", Own / ?SUBSCRIBERS, Ours / ?SUBSCRIBERS, none},
        {Text ++ "own CPU, µs each, subscription included", "µs", none,
            Used / 1000 / ?SUBSCRIBERS / (2 * rounds() + 1), none},
        {Text ++ "memory, KiB each", "KiB", none, Grown / ?SUBSCRIBERS, none}
    ].

%% The median of the times from the first that knows to the last one, in µs.
told(Subscribe, Let, Node) ->
    Told = atomics:new(1, []),
    Self = self(),
    Pids = [
        spawn_link(fun() ->
            ok = Subscribe(),
            Self ! {subscribed, self()},
            hear(Self, Told, Node)
        end)
     || _ <- lists:seq(1, ?SUBSCRIBERS)
    ],
    [receive {subscribed, P} -> ok end || P <- Pids],
    Times = [
        begin
            Let(Event),
            receive {first, First} -> ok end,
            receive {last, Last} -> Last - First end
        end
     || _ <- lists:seq(1, rounds()), Event <- [up, down]
    ],
    [begin unlink(P), exit(P, kill) end || P <- Pids],
    median(Times).

hear(Self, Told, Node) ->
    receive
        Event when element(2, Event) =:= Node ->
            case atomics:add_get(Told, 1, 1) rem ?SUBSCRIBERS of
                1 -> Self ! {first, erlang:monotonic_time(microsecond)};
                0 -> Self ! {last, erlang:monotonic_time(microsecond)};
                _ -> ok
            end
    end,
    hear(Self, Told, Node).

%% -------------------------------------------------------------- the helper

-spec tool(node(), inet:port_number()) -> port().
tool(Node, Port) ->
    open_port(
        {spawn_executable, tb_lib:tmp("bench_crowd")},
        [{args, [atom_to_list(Node), integer_to_list(Port), tb_lib:cookie()]}, {line, 80}, exit_status]
    ).

-spec ask(port(), string(), non_neg_integer()) -> integer().
ask(Tool, Command, N) ->
    port_command(Tool, [Command, " ", integer_to_list(N), "\n"]),
    receive
        {Tool, {data, {eol, Line}}} -> list_to_integer(Line);
        {Tool, {exit_status, Status}} -> error({ended, Command, Status})
    after 120000 -> error({no_answer, Command})
    end.

-spec cpu_ns(port(), pos_integer()) -> non_neg_integer().
cpu_ns(Tool, Pid) ->
    ask(Tool, "cpu", Pid).

%% ------------------------------------------------------------ small things

-spec rounds() -> pos_integer().
rounds() ->
    tb_lib:int_env("ROUNDS", 5).

-spec chosen(string()) -> boolean().
chosen(Name) ->
    string:find(Name, os:getenv("ONLY", "")) =/= nomatch.

-spec note(io:format(), [term()]) -> ok.
note(Format, Args) ->
    io:format(standard_error, Format ++ "\n", Args).

-spec median([number()]) -> number().
median(Values) ->
    lists:nth(length(Values) div 2 + 1, lists:sort(Values)).

%% ---------------------------------------------------------------- printing

print_machine() ->
    {ok, CpuInfo} = file:read_file("/proc/cpuinfo"),
    {match, [Model]} = re:run(CpuInfo, "model name\\s*: (.*)", [{capture, all_but_first, binary}]),
    {{Year, Month, Day}, _} = calendar:universal_time(),
    Machine = [Model, erlang:system_info(logical_processors_available), erlang:system_info(otp_release)],
    io:format("~ts, ~b cores; OTP ~s; ", Machine),
    io:format("~b-~2..0b-~2..0b; ~b rounds; ", [Year, Month, Day, rounds()]),
    {ok, Load} = file:read_file("/proc/loadavg"),
    io:format("load of others at the start ~s.~n~n", [hd(binary:split(Load, <<" ">>))]),
    io:put_chars(how()).

how() ->
    "Made by `make bench`. One Erlang process of a BEAM node asks an echo process with\n"
    "`gen_server:call`: a `gen_server` of another BEAM node, then a process of a C\n"
    "program on libtiebeam, in turns. Each figure is the median of the rounds; CPU\n"
    "time is that of the server, divided by its messages. Figures move with the\n"
    "machine and its load: what counts is the ratio inside one run.\n"
    "\"round trip\" is one caller; \"casts\" end with a call that counts them; \"batch\n"
    "echo\" sends all requests before it reads an answer.\n".

-spec print_section(string(), [figure()]) -> ok.
print_section(_, []) ->
    ok;
print_section(Title, Figures) ->
    io:format("~n### ~ts~n~n", [Title]),
    Lines = [
        ["", "BEAM", "tiebeam", "ratio", "target", ""],
        ["---", "--:", "--:", "--:", "--:", "---"]
        | [cells(F) || F <- Figures]
    ],
    Widths = [lists:max([string:length(C) || C <- Column]) || Column <- transpose(Lines)],
    [print_line(Line, Widths) || Line <- Lines],
    ok.

transpose([[] | _]) -> [];
transpose(Lines) -> [[hd(L) || L <- Lines] | transpose([tl(L) || L <- Lines])].

print_line([First | Cells], [Width | Widths]) ->
    Padded = [string:pad(C, W, leading) || {C, W} <- lists:zip(Cells, Widths)],
    io:format("| ~ts |~ts~n", [string:pad(First, Width), [[" ", C, " |"] || C <- Padded]]).

cells({Name, _, Beam, Tiebeam, Target}) ->
    Ratio =
        case Beam of
            none -> none;
            _ -> Tiebeam / Beam
        end,
    [Name, number(Beam), number(Tiebeam), number(Ratio), target(Target), verdict(Target, Ratio, Tiebeam)].

target(none) -> "";
target({ratio, Op, X}) -> [sign(Op), number(X), " x"];
target({value, Op, X}) -> [sign(Op), number(X)].

sign('=<') -> "≤ ";
sign('>=') -> "≥ ".

verdict(none, _, _) -> "";
verdict({ratio, Op, X}, Ratio, _) -> verdict(erlang:Op(Ratio, X));
verdict({value, Op, X}, _, Value) -> verdict(erlang:Op(Value, X)).

verdict(true) -> "reached";
verdict(false) -> "missed".

number(none) -> "";
number(X) when X >= 1000 -> thousands(integer_to_list(round(X)));
number(X) when X >= 100 -> integer_to_list(round(X));
number(X) when X >= 10 -> io_lib:format("~.1f", [float(X)]);
number(X) -> io_lib:format("~.2f", [float(X)]).

thousands(Digits) when length(Digits) =< 3 ->
    Digits;
thousands(Digits) ->
    {Front, Back} = lists:split(length(Digits) - 3, Digits),
    thousands(Front) ++ "," ++ Back.
