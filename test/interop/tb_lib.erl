%% tb_lib - what the interop suites share: programs that a test starts and
%% ends, a private epmd, and conditions that are waited for.
%%
%% A program is a port owned by a process of its own, which keeps the output
%% and the exit status. Each program is ended by the test that started it, by
%% its process id; run.sh ends what a crashed suite leaves. Nothing here is
%% newer than OTP 23.
-module(tb_lib).

%% programs
-export([binary/0, start/2, start/3, output/1, os_pid/1, signal/2, wait_exit/1, wait_exit/2, run/3]).
%% nodes
-export([join/1, leave/1, quiet/0, still/0, daemon/1, daemon/2, reload/3, node_of/1, stop/1, kill/1, put_away/1, beam/1, beam/2, end_beam/1]).
%% epmd
-export([start_epmd/1, end_epmd/1, epmd_port/0, epmd_pids/1, free_port/0]).
%% conditions
-export([with_daemon/3, with_beam/3, show/1, wait_output/2]).
-export([until/1, until/2, until_equal/2, until_equal/3, flush/0, mailbox/0]).
%% small things
-export([host/0, cookie/0, name/1, name/2, tmp/1, int_env/2, otp/0, call/2, info/1, tables/1]).
-export([link/2, pid_of/2, fds/1, is_sanitized/1, outcome/1, alive/1, setenv/0, chosen/1]).

-export_type([program/0]).

-opaque program() :: #{owner := pid(), os_pid := pos_integer(), node := node() | undefined, netns := boolean()}.

%% Milliseconds that a condition may take. Sanitizers and slow machines, which
%% stand still for seconds at times, are far below it; a suite that passes never
%% waits for it.
-define(PATIENCE, 60000).
-define(POLL, 5).

%% ---------------------------------------------------------------- programs

-spec start(file:filename(), [string()]) -> program().
start(Executable, Args) ->
    start(Executable, Args, []).

-spec start(file:filename(), [string()], [{string(), string() | false}]) -> program().
start(Executable, Args, Env) ->
    Self = self(),
    {Owner, Monitor} = spawn_monitor(fun() -> own(Self, Executable, Args, Env) end),
    receive
        {Owner, OsPid} ->
            demonitor(Monitor, [flush]),
            #{owner => Owner, os_pid => OsPid, node => undefined, netns => false};
        {'DOWN', Monitor, process, Owner, Reason} ->
            error({not_started, Executable, Reason})
    end.

own(Parent, Executable, Args, Env) ->
    Options = [{args, Args}, {env, Env}, binary, exit_status, stderr_to_stdout, use_stdio, hide],
    Port = open_port({spawn_executable, Executable}, Options),
    OsPid =
        case erlang:port_info(Port, os_pid) of
            {os_pid, P} -> P;
            undefined -> exit(gone_at_once)
        end,
    Parent ! {self(), OsPid},
    own_loop(Port, <<>>, running, []).

own_loop(Port, Output, Status, Waiting) ->
    receive
        {Port, {data, Data}} ->
            own_loop(Port, <<Output/binary, Data/binary>>, Status, Waiting);
        {Port, {exit_status, S}} ->
            _ = [From ! {Tag, S} || {From, Tag} <- Waiting],
            own_loop(Port, Output, {exited, S}, []);
        {output, From, Tag} ->
            From ! {Tag, Output},
            own_loop(Port, Output, Status, Waiting);
        {status, From, Tag} when Status =:= running ->
            own_loop(Port, Output, Status, [{From, Tag} | Waiting]);
        {status, From, Tag} ->
            From ! {Tag, element(2, Status)},
            own_loop(Port, Output, Status, Waiting);
        {peek, From, Tag} ->
            From ! {Tag, Status},
            own_loop(Port, Output, Status, Waiting)
    end.

ask(#{owner := Owner}, What, Ms) ->
    Tag = make_ref(),
    Owner ! {What, self(), Tag},
    receive
        {Tag, Answer} -> {ok, Answer}
    after Ms -> timeout
    end.

%% Standard output and standard error up to now.
-spec output(program()) -> binary().
output(Program) ->
    {ok, Output} = ask(Program, output, ?PATIENCE),
    Output.

-spec os_pid(program()) -> pos_integer().
os_pid(#{os_pid := OsPid}) ->
    OsPid.

%% signal(Program, "TERM"). After "STOP" it does nothing any more: each of its
%% threads stops only when it is next to run, and may answer until then.
-spec signal(program() | pos_integer(), string()) -> ok.
signal(#{os_pid := OsPid} = Program, Signal) ->
    case ask(Program, peek, ?PATIENCE) of
        {ok, running} -> signal(OsPid, Signal);
        {ok, {exited, _}} -> ok
    end;
signal(OsPid, Signal) when is_integer(OsPid), OsPid > 1 ->
    _ = os:cmd("kill -" ++ Signal ++ " " ++ integer_to_list(OsPid)),
    Signal =:= "STOP" andalso until(fun() -> is_stopped(OsPid) end),
    ok.

is_stopped(OsPid) ->
    Stats = filelib:wildcard("/proc/" ++ integer_to_list(OsPid) ++ "/task/*/stat"),
    lists:all(fun is_stopped_thread/1, Stats).

%% The state follows the command, which stands in parentheses.
is_stopped_thread(Stat) ->
    case file:read_file(Stat) of
        {ok, Text} -> lists:member(binary:at(lists:last(binary:split(Text, <<") ">>, [global])), 0), "TtZX");
        {error, _} -> true
    end.

-spec wait_exit(program()) -> non_neg_integer().
wait_exit(Program) ->
    wait_exit(Program, ?PATIENCE).

%% The exit status, 128 + N for a signal N; the program is forgotten.
-spec wait_exit(program(), timeout()) -> non_neg_integer().
wait_exit(#{owner := Owner, os_pid := OsPid} = Program, Ms) ->
    case ask(Program, status, Ms) of
        {ok, Status} ->
            exit(Owner, kill),
            Status;
        timeout ->
            Output = output(Program),
            signal(OsPid, "ABRT"),
            exit(Owner, kill),
            error({does_not_end, Output})
    end.

%% Runs a program to its end: {ExitStatus, StandardOutput, StandardError}.
-spec run(file:filename(), [string()], [{string(), string() | false}]) ->
    {non_neg_integer(), string(), string()}.
run(Executable, Args, Env) ->
    File = tmp("stderr." ++ integer_to_list(erlang:unique_integer([positive]))),
    Script = "exec \"$0\" \"$@\" 2>\"$TB_STDERR\" </dev/null",
    Port = open_port(
        {spawn_executable, "/bin/sh"},
        [{args, ["-c", Script, Executable | Args]}, {env, [{"TB_STDERR", File} | Env]}] ++
            [binary, exit_status, eof, use_stdio, hide]
    ),
    {Status, Out} = run_loop(Port, <<>>, undefined, false),
    {ok, Err} = file:read_file(File),
    ok = file:delete(File),
    no_reports(Status, Err),
    {Status, unicode:characters_to_list(Out), unicode:characters_to_list(Err)}.

run_loop(_, Out, Status, true) when Status =/= undefined ->
    {Status, Out};
run_loop(Port, Out, Status, Eof) ->
    receive
        {Port, {data, Data}} -> run_loop(Port, <<Out/binary, Data/binary>>, Status, Eof);
        {Port, {exit_status, S}} -> run_loop(Port, Out, S, Eof);
        {Port, eof} -> run_loop(Port, Out, Status, true)
    after 2 * ?PATIENCE -> error({does_not_end, Out})
    end.

%% ------------------------------------------------------------------- nodes

%% Makes this VM a node, with an epmd of its own where the variant has one.
-spec join(atom()) -> [program()].
join(Suite) ->
    ok = setenv(),
    Epmd = [start_epmd(epmd_port()) || tb_variant:has_epmd()],
    Name = list_to_atom(name(Suite)),
    ok = tb_variant:join(Name),
    Full =
        case tb_variant:kind() of
            shortnames -> Name;
            longnames -> list_to_atom(name(Suite) ++ "@" ++ tb_variant:host(Name))
        end,
    {ok, _} = net_kernel:start([Full, tb_variant:kind()]),
    true = erlang:set_cookie(node(), list_to_atom(cookie())),
    Epmd.

-spec leave([program()]) -> ok.
leave(Epmd) ->
    ok = net_kernel:stop(),
    lists:foreach(fun end_epmd/1, Epmd).

%% A shell's own settings must not reach the programs.
-spec setenv() -> ok.
setenv() ->
    _ = [
        os:unsetenv(V)
     || V <-
            ["RELEASE_COOKIE", "RELEASE_NODE", "ERL_FLAGS", "ERL_AFLAGS", "ERL_ZFLAGS"] ++
                ["ERL_DIST_PORT", "ERL_EPMD_ADDRESS", "NOTIFY_SOCKET", "DNS_CLUSTER_QUERY"]
    ],
    ok.

-spec daemon(atom()) -> program().
daemon(Name) ->
    daemon(Name, #{}).

%% A configuration's part for a daemon that asks no peer for process groups.
-spec quiet() -> [tuple()].
quiet() ->
    [{pg, [{scopes, []}]}, {process_clusters, off}].

%% A configuration for a daemon that asks nobody anything by itself: what its tables
%% and descriptors are at its start is what they are when all others have gone.
-spec still() -> [tuple()].
still() ->
    [{tiebeam, [{discovery, []}, {node_monitor, [{detector, off}]} | quiet()]}].

%% Starts a daemon that has no discovery, unless there is a configuration.
%%   cookie, config (a term), args, env; host: with a long name; flags: other
%%   ones than the variant's; netns: the network namespace it lives in;
%%   ready => false: do not wait until it is a member.
-spec daemon(atom(), map()) -> program().
daemon(Name, Options) ->
    Default = [{tiebeam, [{discovery, []}]}],
    File = tmp(atom_to_list(Name) ++ ".config"),
    ok = file:write_file(File, io_lib:format("~tp.~n", [maps:get(config, Options, Default)])),
    Args =
        name_flags(Name, Options) ++
            maps:get(flags, Options, tb_variant:flags(Name)) ++
            ["-setcookie", maps:get(cookie, Options, cookie()), "-config", File] ++
            maps:get(args, Options, []),
    Program = (start_in(Options, binary(), Args))#{node := full_name(Name, Options)},
    case maps:get(ready, Options, true) of
        true -> until_ready(Program);
        false -> ok
    end,
    Program.

%% Another configuration for the daemon of that name, by SIGHUP.
-spec reload(program(), atom(), [tuple()]) -> ok.
reload(Daemon, Name, Config) ->
    ok = file:write_file(tmp(atom_to_list(Name) ++ ".config"), io_lib:format("~tp.~n", [Config])),
    signal(Daemon, "HUP").

start_in(#{netns := Ns} = Options, Executable, Args) ->
    Ip = os:find_executable("ip"),
    Program = start(Ip, ["netns", "exec", Ns, Executable | Args], maps:get(env, Options, [])),
    Program#{netns := true};
start_in(Options, Executable, Args) ->
    start(Executable, Args, maps:get(env, Options, [])).

name_flags(Name, #{host := Host}) ->
    ["-name", atom_to_list(Name) ++ "@" ++ Host];
name_flags(Name, _) ->
    case tb_variant:kind() of
        shortnames -> ["-sname", atom_to_list(Name)];
        longnames -> ["-name", atom_to_list(Name) ++ "@" ++ tb_variant:host(Name)]
    end.

full_name(Name, Options) ->
    list_to_atom(atom_to_list(Name) ++ "@" ++ maps:get(host, Options, tb_variant:host(Name))).

until_ready(Program) ->
    Check = fun() ->
        binary:match(output(Program), <<"\n  try ">>) =/= nomatch orelse not is_running(Program)
    end,
    until(Check),
    is_running(Program) orelse error({daemon_ended, output(Program), wait_exit(Program)}).

is_running(Program) ->
    {ok, running} =:= ask(Program, peek, ?PATIENCE).

%% The daemon.
-spec binary() -> file:filename().
binary() ->
    case os:getenv("TIEBEAM_BIN") of
        false -> filename:absname("build/release/tiebeam");
        Path -> filename:absname(Path)
    end.

-spec node_of(program()) -> node().
node_of(#{node := Node}) ->
    Node.

%% Asks a daemon to leave. It has to do so in good order: a sanitizer's report
%% changes the exit status, and is shown.
-spec stop(program()) -> ok.
stop(Daemon) ->
    signal(Daemon, "TERM"),
    {ok, Status} = ask(Daemon, status, ?PATIENCE),
    Output = output(Daemon),
    _ = wait_exit(Daemon),
    Status =:= 0 orelse error({daemon_ended_badly, Status, Output}),
    no_reports(Status, Output),
    forgotten(Daemon).

no_reports(Status, Output) ->
    Reports = [<<"Sanitizer">>, <<"runtime error:">>, <<"Assertion">>],
    case binary:match(Output, Reports) of
        nomatch -> ok;
        _ -> error({daemon_ended_badly, Status, Output})
    end.

%% Where a case has failed: it may have been ended before.
-spec put_away(program()) -> ok.
put_away(#{owner := Owner, os_pid := OsPid}) ->
    _ = [signal(OsPid, "KILL") || is_process_alive(Owner)],
    ok.

-spec kill(program()) -> ok.
kill(Program) ->
    signal(Program, "KILL"),
    Output = output(Program),
    137 = wait_exit(Program),
    no_reports(137, Output),
    forgotten(Program).

-spec beam(atom()) -> program().
beam(Name) ->
    beam(Name, #{}).

%% A second BEAM of this release: args, cookie, env, host, flags, netns, as above.
-spec beam(atom(), map()) -> program().
beam(Name, Options) ->
    Cookie = maps:get(cookie, Options, cookie()),
    Erl = filename:join([code:root_dir(), "bin", "erl"]),
    Args =
        name_flags(Name, Options) ++
            maps:get(flags, Options, tb_variant:flags(Name)) ++
            ["-setcookie", Cookie, "-noinput", "-noshell", "-start_epmd", "false", "-pa", filename:dirname(code:which(?MODULE))] ++
            ["-kernel", "prevent_overlapping_partitions", "false"] ++
            ["-eval", "io:put_chars(\"ready\\n\")" | maps:get(args, Options, [])],
    Program = (start_in(Options, Erl, Args))#{node := full_name(Name, Options)},
    until(fun() ->
        binary:match(output(Program), <<"ready\n">>) =/= nomatch orelse not is_running(Program)
    end),
    is_running(Program) orelse error({beam_ended, output(Program)}),
    Program.

-spec end_beam(program()) -> ok.
end_beam(Beam) ->
    signal(Beam, "KILL"),
    _ = wait_exit(Beam),
    forgotten(Beam).

%% Its connection to this node is gone, too: the next one of that name is asked,
%% not this one. From another network nobody says that it ended.
forgotten(#{node := Node, netns := false}) when Node =/= undefined ->
    until(fun() -> not lists:member(Node, nodes(connected)) end);
forgotten(_) ->
    ok.

%% A daemon, or a second BEAM, that ends with the test.
-spec with_daemon(atom(), map(), fun((program(), node()) -> Result)) -> Result.
with_daemon(Name, Options, Fun) ->
    Daemon = daemon(Name, Options),
    try
        Fun(Daemon, node_of(Daemon))
    catch
        Class:Reason:Stack ->
            show(Daemon),
            erlang:raise(Class, Reason, Stack)
    after
        stop(Daemon)
    end.

%% The end of what it printed, for the report of a case that failed.
-spec show(program()) -> ok.
show(Program) ->
    Output = output(Program),
    Size = byte_size(Output),
    io:format("~ts: ...~ts~n", [node_of(Program), binary:part(Output, Size, -min(Size, 1500))]).

-spec with_beam(atom(), map(), fun((program(), node()) -> Result)) -> Result.
with_beam(Name, Options, Fun) ->
    Beam = beam(Name, Options),
    try
        Fun(Beam, node_of(Beam))
    after
        end_beam(Beam)
    end.

%% Waits until the output matches; returns all of it.
-spec wait_output(program(), iodata()) -> binary().
wait_output(Program, Pattern) ->
    until(fun() -> re:run(output(Program), Pattern) =/= nomatch end),
    output(Program).

%% -------------------------------------------------------------------- epmd

-spec start_epmd(inet:port_number()) -> program().
start_epmd(Port) ->
    Erts = filename:join(code:root_dir(), "erts-" ++ erlang:system_info(version)),
    Own = filename:join([Erts, "bin", "epmd"]),
    Executable =
        case filelib:is_regular(Own) of
            true -> Own;
            false -> os:find_executable("epmd")
        end,
    Epmd = start(Executable, ["-port", integer_to_list(Port)]),
    until(fun() -> is_answering(Port) end),
    Epmd.

is_answering(Port) ->
    case gen_tcp:connect({127, 0, 0, 1}, Port, [binary], 1000) of
        {ok, Socket} ->
            ok = gen_tcp:close(Socket),
            true;
        {error, _} ->
            false
    end.

-spec end_epmd(program()) -> ok.
end_epmd(Epmd) ->
    kill(Epmd).

-spec epmd_port() -> inet:port_number().
epmd_port() ->
    list_to_integer(os:getenv("ERL_EPMD_PORT")).

%% A port that nobody listens on.
-spec free_port() -> inet:port_number().
free_port() ->
    {ok, Socket} = gen_tcp:listen(0, [{ip, {127, 0, 0, 1}}]),
    {ok, Port} = inet:port(Socket),
    ok = gen_tcp:close(Socket),
    Port.

%% The epmd that serves exactly this port, started by whomever.
-spec epmd_pids(inet:port_number()) -> [pos_integer()].
epmd_pids(Port) ->
    {ok, Entries} = file:list_dir("/proc"),
    Wanted = list_to_binary(integer_to_list(Port)),
    [
        list_to_integer(E)
     || E <- Entries,
        hd(E) >= $1,
        hd(E) =< $9,
        {ok, Text} <- [file:read_file("/proc/" ++ E ++ "/cmdline")],
        [Command, <<"-port">>, P | _] <- [binary:split(Text, <<0>>, [global])],
        P =:= Wanted,
        filename:basename(Command) =:= <<"epmd">>
    ].

%% -------------------------------------------------------------- conditions

%% A condition that fails is one that does not hold yet: what it asks may be
%% away for a moment. In the end its own error tells more than "too late".
-spec until(fun(() -> boolean())) -> ok.
until(Condition) ->
    until(Condition, ?PATIENCE).

-spec until(fun(() -> boolean()), pos_integer()) -> ok.
until(Condition, Ms) ->
    until_deadline(Condition, erlang:monotonic_time(millisecond) + Ms).

until_deadline(Condition, Deadline) ->
    Late = erlang:monotonic_time(millisecond) >= Deadline,
    try Condition() of
        true -> ok;
        false when Late -> error(too_late);
        false -> try_again(Condition, Deadline)
    catch
        _:_ when not Late -> try_again(Condition, Deadline)
    end.

try_again(Condition, Deadline) ->
    poll_pause(),
    until_deadline(Condition, Deadline).

poll_pause() ->
    receive
    after ?POLL -> ok
    end.

%% Waits until Fun() gives Value; the error shows what it gives instead.
-spec until_equal(term(), fun(() -> term())) -> ok.
until_equal(Value, Fun) ->
    until_equal(Value, Fun, ?PATIENCE).

-spec until_equal(term(), fun(() -> term()), pos_integer()) -> ok.
until_equal(Value, Fun, Ms) ->
    try
        until(fun() -> Fun() =:= Value end, Ms)
    catch
        error:too_late ->
            case Fun() of
                Value -> ok;
                Other -> error({expected, Value, got, Other})
            end
    end.

-spec flush() -> [term()].
flush() ->
    receive
        Message -> [Message | flush()]
    after 0 -> []
    end.

-spec mailbox() -> [term()].
mailbox() ->
    {messages, Messages} = process_info(self(), messages),
    Messages.

%% ------------------------------------------------------------ small things

-spec host() -> string().
host() ->
    tb_variant:host().

-spec cookie() -> string().
cookie() ->
    "tb" ++ os:getpid().

%% Names are unique to this VM, so that suites can run side by side.
-spec name(atom()) -> string().
name(Base) ->
    atom_to_list(Base) ++ "_" ++ os:getpid().

-spec name(atom(), integer()) -> string().
name(Base, N) ->
    name(Base) ++ "_" ++ integer_to_list(N).

-spec tmp(string()) -> file:filename().
tmp(Name) ->
    filename:join(os:getenv("TB_TMP", "/tmp"), Name).

-spec int_env(string(), integer()) -> integer().
int_env(Name, Default) ->
    case os:getenv(Name) of
        false -> Default;
        "" -> Default;
        Text -> list_to_integer(Text)
    end.

-spec otp() -> pos_integer().
otp() ->
    list_to_integer(erlang:system_info(otp_release)).

-spec call(node(), term()) -> term().
call(Node, Request) ->
    gen_server:call({tiebeam, Node}, Request, ?PATIENCE).

-spec info(node()) -> map().
info(Node) ->
    call(Node, info).

%% The sizes of a daemon's tables, less the names it has seen.
-spec tables(node()) -> map().
tables(Node) ->
    tables(Node, 200).

%% Not in the moment in which it waits for an answer to a probe.
tables(Node, Tries) ->
    case maps:remove(node_names, maps:get(tables, info(Node))) of
        #{calls := Calls} when Calls > 0, Tries > 0 ->
            poll_pause(),
            tables(Node, Tries - 1);
        Tables ->
            Tables
    end.

%% A BEAM node is connected to a daemon, and the daemon knows it: the BEAM may not
%% have noticed yet that the last daemon of that name has gone.
-spec link(node(), node()) -> ok.
link(Beam, Daemon) ->
    until(fun() ->
        true =:= rpc:call(Beam, net_kernel, connect_node, [Daemon], ?PATIENCE) andalso is_linked(Beam, Daemon)
    end).

is_linked(Beam, Daemon) ->
    case rpc:call(Daemon, erlang, nodes, [connected], ?PATIENCE) of
        Nodes when is_list(Nodes) -> lists:member(Beam, Nodes);
        {badrpc, _} -> false
    end.

-spec pid_of(node(), atom()) -> pid() | undefined.
pid_of(Node, Name) ->
    rpc:call(Node, erlang, whereis, [Name], ?PATIENCE).

-spec alive(pid()) -> boolean().
alive(Pid) ->
    rpc:call(node(Pid), erlang, is_process_alive, [Pid], ?PATIENCE).

%% The cases whose titles contain $TB_ONLY; all without it. $TB_PART: 1 is the first
%% of each two, 2 the second. $TB_TIMES: so often, one after the other, to find what
%% fails seldom.
-spec chosen([{string(), Case}]) -> [{string(), Case}].
chosen(Cases) ->
    Only = os:getenv("TB_ONLY", ""),
    [
        Case
     || _ <- lists:seq(1, int_env("TB_TIMES", 1)),
        {I, {Title, _} = Case} <- lists:zip(lists:seq(1, length(Cases)), Cases),
        Only =:= "" orelse string:find(Title, Only) =/= nomatch,
        is_part(os:getenv("TB_PART"), I)
    ].

is_part("1", I) -> I rem 2 =:= 1;
is_part("2", I) -> I rem 2 =:= 0;
is_part(_, _) -> true.

%% How many descriptors a program has open.
-spec fds(program()) -> non_neg_integer().
fds(#{os_pid := OsPid}) ->
    {ok, Entries} = file:list_dir("/proc/" ++ integer_to_list(OsPid) ++ "/fd"),
    length(Entries).

%% Whether it runs with AddressSanitizer, which keeps what has been freed.
-spec is_sanitized(program()) -> boolean().
is_sanitized(#{os_pid := OsPid}) ->
    {ok, Maps} = file:read_file("/proc/" ++ integer_to_list(OsPid) ++ "/maps"),
    binary:match(Maps, <<"libasan">>) =/= nomatch.

%% How a call ends, as a term that can be compared.
-spec outcome(fun(() -> term())) -> {value, term()} | {throw | exit | error, term()}.
outcome(Fun) ->
    try
        {value, Fun()}
    catch
        Class:Reason -> {Class, Reason}
    end.
