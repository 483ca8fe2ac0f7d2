%% @doc A sidecar: the program `tiebeam' as a port of this node, which finds the
%% node's peers and connects the node to them, as libcluster in it would.
%%
%% One process owns the program. Its log lines go to `logger'; when it ends it
%% is started again, sooner first and later then; when this node ends, however
%% it does, the system closes the program's stdin, and it ends, too. While this
%% node has no name nothing runs.
%%
%% In a supervision tree:
%%
%% ```
%% {tiebeam, [{topologies, Topologies}]}            % Elixir: {:tiebeam, topologies: ...}
%% '''
%%
%% or by the application itself, where its environment has a key `topologies',
%% `discovery', `query', or `{sidecar, true}'. There is one sidecar on a node;
%% its own node is called {@link name/0}, for requests to `dns_cluster',
%% `node_monitor' and so on.
%%
%% Where the module `telemetry' is there, events are those of libcluster:
%% `[libcluster, connect_node, ok | error]' and `[libcluster, disconnect_node,
%% ok]', with `#{duration}' in native units and `#{node, topology, reason}'.
-module(tiebeam_sidecar).
-behaviour(gen_server).

-export([child_spec/1, start_link/1, name/0, info/0]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2, terminate/2]).
-export_type([info/0]).

-type info() :: #{
    node := node(),
    state := waiting | running | backing_off,
    os_pid := pos_integer() | undefined,
    starts := non_neg_integer()
}.

-record(state, {
    section :: tiebeam_sidecar_config:section(),
    port :: port() | undefined,
    os_pid :: pos_integer() | undefined,
    line = [] :: iodata(),
    started = 0 :: integer(),
    starts = 0 :: non_neg_integer(),
    failures = 0 :: non_neg_integer(),
    timer :: reference() | undefined,
    %% of net_kernel, while this node has a name
    kernel :: reference() | undefined,
    told = false :: boolean(),
    telemetry :: boolean()
}).

-define(FIRST_PAUSE, 100).
-define(LONGEST_PAUSE, 30000).
%% Whoever lived that long was well.
-define(WELL, 10000).
-define(NAME_POLL, 500).
%% It has to leave the cluster in that time.
-define(LEAVE, 5000).
-define(MAX_LINE, 16384).

%% ------------------------------------------------------------------- API

%% @doc For a supervisor. Options go over those of the application environment.
-spec child_spec(term()) -> supervisor:child_spec().
child_spec(Options) ->
    #{
        id => ?MODULE,
        start => {?MODULE, start_link, [Options]},
        restart => permanent,
        shutdown => 2 * ?LEAVE,
        type => worker,
        modules => [?MODULE]
    }.

%% @doc `{error, {tiebeam, Text}}' where the options are wrong.
-spec start_link(term()) -> gen_server:start_ret().
start_link(Options) ->
    gen_server:start_link({local, ?MODULE}, ?MODULE, Options, []).

%% @doc The name of the sidecar's node, for requests to its services.
-spec name() -> node().
name() ->
    list_to_atom(tiebeam_sidecar_config:own_name(node())).

-spec info() -> info().
info() ->
    gen_server:call(?MODULE, info).

%% ------------------------------------------------------------- gen_server

-spec init(term()) -> {ok, #state{}} | {stop, term()}.
init(Options) ->
    process_flag(trap_exit, true),
    try tiebeam_sidecar_config:section(Options) of
        Section ->
            Telemetry = code:ensure_loaded(telemetry) =:= {module, telemetry},
            {ok, launch(#state{section = Section, telemetry = Telemetry})}
    catch
        error:{tiebeam, _} = Reason -> {stop, Reason}
    end.

-spec handle_call(term(), gen_server:from(), #state{}) -> {reply, term(), #state{}}.
handle_call(info, _, #state{os_pid = OsPid, starts = Starts} = S) ->
    {reply, #{node => name(), state => what(S), os_pid => OsPid, starts => Starts}, S};
handle_call(_, _, S) ->
    {reply, {error, unknown_call}, S}.

what(#state{port = undefined, kernel = undefined}) -> waiting;
what(#state{port = undefined}) -> backing_off;
what(#state{}) -> running.

-spec handle_cast(term(), #state{}) -> {noreply, #state{}}.
handle_cast(_, S) ->
    {noreply, S}.

-spec handle_info(term(), #state{}) -> {noreply, #state{}}.
handle_info({Port, {data, {Part, Bytes}}}, #state{port = Port} = S) ->
    {noreply, take(Part, Bytes, S)};
handle_info({Port, {exit_status, Status}}, #state{port = Port} = S) ->
    {noreply, ended(Status, S)};
handle_info({'EXIT', Port, Reason}, #state{port = Port} = S) ->
    {noreply, ended(Reason, S)};
handle_info({timeout, Timer, launch}, #state{timer = Timer} = S) ->
    {noreply, launch(S#state{timer = undefined})};
handle_info({'DOWN', Kernel, process, _, _}, #state{kernel = Kernel} = S) ->
    log(notice, <<"sidecar.waiting">>, "this node has lost its name"),
    {noreply, launch_after(?NAME_POLL, (stop_program(S))#state{kernel = undefined, told = true})};
handle_info({discovery, Topology, Event, Node, Info}, #state{telemetry = true} = S) when Node =/= node() ->
    emit(Event, Topology, Node, Info),
    {noreply, S};
handle_info(_, S) ->
    {noreply, S}.

-spec terminate(term(), #state{}) -> term().
terminate(_, S) ->
    stop_program(S).

%% ------------------------------------------------------------------ life

%% A node without a name cannot be found, and cannot find anybody.
launch(#state{kernel = undefined} = S) ->
    case is_process_alive_here() of
        true -> launch(S#state{kernel = monitor(process, net_kernel), told = false});
        false -> launch_after(?NAME_POLL, tell_waiting(S))
    end;
launch(#state{section = Section} = S) ->
    try open(tiebeam_sidecar_config:launch(Section, ?MODULE)) of
        Port ->
            OsPid =
                case erlang:port_info(Port, os_pid) of
                    {os_pid, Pid} -> Pid;
                    undefined -> undefined
                end,
            S#state{port = Port, os_pid = OsPid, started = now_ms(), starts = S#state.starts + 1}
    catch
        error:{tiebeam, Text} ->
            log(error, <<"sidecar.not_started">>, Text),
            back_off(S);
        error:Reason ->
            log(error, <<"sidecar.not_started">>, io_lib:format("~tp", [Reason])),
            back_off(S)
    end.

is_process_alive_here() ->
    is_alive() andalso node() =/= nonode@nohost.

tell_waiting(#state{told = true} = S) ->
    S;
tell_waiting(S) ->
    log(notice, <<"sidecar.waiting">>, "this node has no name: start it with -name or -sname"),
    S#state{told = true}.

open(#{executable := Executable, args := Args, env := Env}) ->
    Options = [{args, Args}, {env, Env}, {line, 4096}, binary, exit_status, stderr_to_stdout, use_stdio, hide],
    open_port({spawn_executable, Executable}, Options).

ended(Why, S) ->
    Lived = now_ms() - S#state.started,
    Level =
        case Why of
            0 -> notice;
            _ -> error
        end,
    log(Level, <<"sidecar.ended">>, cause(Why)),
    Failures =
        case Lived >= ?WELL of
            true -> 0;
            false -> S#state.failures
        end,
    back_off((forget(S))#state{failures = Failures}).

cause(0) -> "it was told to stop";
cause(2) -> "exit status 2: its configuration is refused";
cause(69) -> "exit status 69: there is no epmd";
cause(75) -> "exit status 75: its name or port is in use";
cause(77) -> "exit status 77: the cookie is refused";
cause(Status) when is_integer(Status), Status > 128 -> io_lib:format("signal ~b", [Status - 128]);
cause(Why) -> io_lib:format("exit status ~tp", [Why]).

forget(S) ->
    S#state{port = undefined, os_pid = undefined, line = []}.

back_off(#state{failures = N} = S) ->
    launch_after(min(?FIRST_PAUSE bsl min(N, 16), ?LONGEST_PAUSE), S#state{failures = N + 1}).

launch_after(Ms, S) ->
    S#state{timer = erlang:start_timer(Ms, self(), launch)}.

now_ms() ->
    erlang:monotonic_time(millisecond).

%% It leaves the cluster, and is waited for; where that takes too long it is
%% killed.
stop_program(#state{port = undefined} = S) ->
    S;
stop_program(#state{port = Port} = S) ->
    try
        true = port_command(Port, "stop\n"),
        Timer = erlang:start_timer(?LEAVE, self(), leave),
        forget(wait_end(Timer, S))
    catch
        error:badarg -> forget(S)
    end.

wait_end(Timer, #state{port = Port} = S) ->
    receive
        {Port, {data, {Part, Bytes}}} ->
            wait_end(Timer, take(Part, Bytes, S));
        {Port, {exit_status, _}} ->
            S;
        {'EXIT', Port, _} ->
            S;
        {timeout, Timer, leave} ->
            log(warning, <<"sidecar.killed">>, "it did not leave in time"),
            is_integer(S#state.os_pid) andalso os:cmd("kill -KILL " ++ integer_to_list(S#state.os_pid)),
            port_close(Port),
            S
    end.

%% ------------------------------------------------------------------- log

take(noeol, Bytes, #state{line = Line} = S) ->
    case iolist_size(Line) < ?MAX_LINE of
        true -> S#state{line = [Line, Bytes]};
        false -> S
    end;
take(eol, Bytes, #state{line = Line} = S) ->
    forward(iolist_to_binary([Line, Bytes])),
    S#state{line = []}.

%% "Time Level: [Event] Text"; what is no such line is the program's last word,
%% such as what is wrong in its configuration.
forward(Line) ->
    try
        [_, Word, <<"[", Rest/binary>>] = split(Line, 3),
        [Event, Text] = binary:split(Rest, <<"] ">>),
        log(level(Word), Event, Text)
    catch
        error:_ -> log(error, <<"sidecar.said">>, Line)
    end.

split(Line, 1) ->
    [Line];
split(Line, N) ->
    [First, Rest] = binary:split(Line, <<" ">>),
    [First | split(Rest, N - 1)].

level(<<"debug:">>) -> debug;
level(<<"info:">>) -> info;
level(<<"notice:">>) -> notice;
level(<<"warning:">>) -> warning;
level(<<"error:">>) -> error;
level(<<"critical:">>) -> critical;
level(<<"alert:">>) -> alert;
level(<<"emergency:">>) -> emergency.

-spec log(logger:level(), binary(), iodata()) -> ok.
log(Level, Event, Text) ->
    logger:log(Level, "tiebeam: [~ts] ~ts", [Event, Text], #{tiebeam_event => Event}).

%% ------------------------------------------------------------- telemetry

emit(connected, Topology, Node, Info) ->
    execute([libcluster, connect_node, ok], Topology, Node, Info, #{});
emit(not_connected, Topology, Node, #{reason := Reason} = Info) ->
    execute([libcluster, connect_node, error], Topology, Node, Info, #{reason => Reason});
emit(disconnected, Topology, Node, Info) ->
    execute([libcluster, disconnect_node, ok], Topology, Node, Info, #{});
emit(_, _, _, _) ->
    ok.

%% Not called by its name: it is no application that this one needs.
execute(Event, Topology, Node, #{duration_ms := Ms}, More) ->
    Duration = erlang:convert_time_unit(Ms, millisecond, native),
    Metadata = More#{node => Node, topology => Topology},
    apply(telemetry, execute, [Event, #{duration => Duration}, Metadata]).
