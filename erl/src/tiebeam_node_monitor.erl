%% @doc Client of a tiebeam node's process `node_monitor'.
%%
%% The first argument is the tiebeam node, or a process that answers as its
%% `node_monitor' does. Each function is one `gen_server:call/3', which works as
%% well without this module; failures are those of `gen_server:call/3', except
%% where it is said.
%%
%% What a process asks for ends with it, and with the connection between its
%% node and the tiebeam node. A process that must know monitors
%% `{node_monitor, TiebeamNode}' too.
-module(tiebeam_node_monitor).
-compile({no_auto_import, [monitor/3]}).

-export([nodes/1, nodes/2, info/1, reconfigure/2, confirm_down/2, confirm_down/3]).
-export([monitor_nodes/2, monitor_nodes/3, monitor_node/3, monitor_states/2]).
-export([monitor/2, monitor/3, demonitor/2, demonitor/3]).
-export_type([kind/0, state/0, target/0, info/0, peer/0, transition/0, option/0]).

-type kind() :: visible | hidden | all | managed.
%% suspect: silent; degraded: the emulator is well, the application is not.
-type state() :: up | suspect | degraded | down.
-type target() :: pid() | {Name :: atom(), node()}.
-type transition() :: #{
    node := node(),
    from := state(),
    to := state(),
    reason := atom(),
    connection_id := non_neg_integer(),
    creation := non_neg_integer(),
    time_ms := non_neg_integer()
}.
-type peer() :: #{
    state := state(),
    type := visible | hidden | unknown,
    managed := boolean(),
    connection_id := non_neg_integer(),
    creation := non_neg_integer(),
    since_ms := non_neg_integer(),
    connection := connected | dialling | waiting | {failed, pos_integer(), atom()},
    health := ok | atom(),
    detector :=
        off
        | #{
            quiet_ms := non_neg_integer(),
            rtt_us := non_neg_integer(),
            rttvar_us := non_neg_integer(),
            timeout_ms := pos_integer(),
            probes := non_neg_integer(),
            answers := non_neg_integer(),
            suspicions := non_neg_integer()
        }
}.
-type info() :: #{
    source :=
        all
        | {nodes, [node()]}
        | {nodes_mfa, mfargs(), #{error := binary(), refresh_ms := pos_integer()}},
    managed := [node()],
    subscribers := non_neg_integer(),
    nodes := #{node() => peer()},
    transitions := [transition()],
    stalls := non_neg_integer()
}.
-type mfargs() :: {module(), Function :: atom(), Args :: list()}.
-type option() ::
    {nodes, [node()]}
    | {nodes_mfa, mfargs()}
    | {attached, node()}
    | {refresh_ms, pos_integer()}
    | {on_error, empty | keep}
    | {notify, [
        {cast, {Name :: atom(), node()}} | {send, {Name :: atom(), node()}} | {call, module()}
    ]}
    | {detector,
        off
        | [
            {suspect_ms | probe_ms | max_suspect_ms, pos_integer()}
            | {down_ms, none | pos_integer()}
            | {indirect, non_neg_integer()}
        ]}
    | {health,
        off
        | [
            {probe, emulator | {call, Name :: atom()} | {call, Name :: atom(), Request :: term()}}
            | {interval_ms | timeout_ms, pos_integer()}
        ]}.

%% A function on another node is waited for, for five seconds.
-define(SLOW, 10000).

%% @doc All nodes that the tiebeam node is connected to.
-spec nodes(node()) -> [node()].
nodes(Tiebeam) ->
    call(Tiebeam, nodes).

-spec nodes(node(), kind()) -> [node()].
nodes(Tiebeam, Kind) ->
    call(Tiebeam, {nodes, Kind}).

%% @doc What it manages, what it knows of each node, and the last transitions.
-spec info(node()) -> info().
info(Tiebeam) ->
    call(Tiebeam, info).

%% @doc Another source of nodes, and other options. Without `nodes' and
%% `nodes_mfa' all nodes are managed; of the rest, what is not given stays. The
%% answer comes when the new set is announced.
-spec reconfigure(node(), [option()]) -> ok | {error, {badarg, term()} | superseded}.
reconfigure(Tiebeam, Options) ->
    gen_server:call({node_monitor, Tiebeam}, {reconfigure, Options}, ?SLOW).

%% @doc Whether a node that was lost is really gone; see `confirm_down/3'.
-spec confirm_down(node(), node()) ->
    {up, By :: [node()]} | {down, atom()} | {unknown, atom()}.
confirm_down(Tiebeam, Other) ->
    confirm_down(Tiebeam, Other, 0).

%% @doc With the creation of the incarnation that was lost. `up': these nodes
%% are connected to it. `down': nobody who could be asked is, and it refuses
%% the tiebeam node's dial, or is another incarnation. `unknown': nobody is,
%% but it does not refuse either.
-spec confirm_down(node(), node(), Creation :: non_neg_integer()) ->
    {up, By :: [node()]} | {down, atom()} | {unknown, atom()}.
confirm_down(Tiebeam, Other, Creation) ->
    Request = {confirm_down, Other, Creation},
    Reply = gen_server:call({node_monitor, Tiebeam}, Request, ?SLOW),
    ok_or_badarg(Reply, [Tiebeam, Other, Creation]).

%% @doc As `net_kernel:monitor_nodes/1', with the tiebeam node's connections.
-spec monitor_nodes(node(), boolean()) -> ok | error.
monitor_nodes(Tiebeam, Flag) ->
    monitor_nodes(Tiebeam, Flag, []).

%% @doc As `net_kernel:monitor_nodes/2': options, messages and errors.
-spec monitor_nodes(node(), boolean(), list() | map()) -> ok | error | {error, term()}.
monitor_nodes(Tiebeam, Flag, Options) ->
    call(Tiebeam, {monitor_nodes, Flag, Options}).

%% @doc One `{nodedown, Other}' once the tiebeam node loses its connection to
%% that node, at once where it has none. However often a process asks, it gets
%% one message.
-spec monitor_node(node(), node(), boolean()) -> true.
monitor_node(Tiebeam, Other, Flag) ->
    ok_or_badarg(call(Tiebeam, {monitor_node, Other, Flag}), [Tiebeam, Other, Flag]).

%% @doc `{node_state, Node, State, Info}' on each change of a node's state.
-spec monitor_states(node(), boolean()) -> ok.
monitor_states(Tiebeam, Flag) ->
    ok_or_badarg(call(Tiebeam, {monitor_states, Flag}), [Tiebeam, Flag]).

%% @doc As `erlang:monitor(process, Target)', seen from the tiebeam node.
-spec monitor(node(), target()) -> reference().
monitor(Tiebeam, Target) ->
    monitor(Tiebeam, Target, []).

%% @doc With `{tag, Term}' as `erlang:monitor/3' has it. Where the tiebeam node
%% cannot be asked, the `DOWN' message comes at once and says why.
-spec monitor(node(), target(), [{tag, term()}]) -> reference().
monitor(Tiebeam, Target, Options) ->
    try call(Tiebeam, {monitor, Target, Options}) of
        Ref when is_reference(Ref) -> Ref;
        Error -> failed(Error, [Tiebeam, Target, Options])
    catch
        exit:{Reason, _} -> down_at_once(Target, Options, unreachable(Reason))
    end.

-spec down_at_once(target(), [{tag, term()}], atom()) -> reference().
down_at_once(Target, Options, Reason) ->
    Ref = make_ref(),
    Tag = proplists:get_value(tag, Options, 'DOWN'),
    self() ! {Tag, Ref, process, Target, Reason},
    Ref.

-spec unreachable(term()) -> atom().
unreachable(noproc) -> noproc;
unreachable(timeout) -> timeout;
unreachable(_) -> noconnection.

-spec demonitor(node(), reference()) -> true.
demonitor(Tiebeam, Ref) ->
    demonitor(Tiebeam, Ref, []).

%% @doc As `erlang:demonitor/2', but that a reference of another process is no
%% error. Where the tiebeam node cannot be asked the monitor is gone, too.
-spec demonitor(node(), reference(), [flush | info]) -> boolean().
demonitor(Tiebeam, Ref, Options) ->
    Found =
        try
            call(Tiebeam, {demonitor, Ref, Options})
        catch
            exit:_ -> not lists:member(info, Options)
        end,
    is_boolean(Found) orelse failed(Found, [Tiebeam, Ref, Options]),
    case lists:member(flush, Options) of
        true -> flush(Ref);
        false -> ok
    end,
    Found.

%% A `DOWN' was sent before the answer, or is never sent.
-spec flush(reference()) -> ok.
flush(Ref) ->
    receive
        {_, Ref, process, _, _} -> ok
    after 0 -> ok
    end.

-spec ok_or_badarg(Reply, [term()]) -> Reply.
ok_or_badarg({error, _} = Error, Args) -> failed(Error, Args);
ok_or_badarg(Reply, _) -> Reply.

-spec failed({error, term()}, [term()]) -> no_return().
failed({error, Reason}, Args) ->
    erlang:error(Reason, Args).

-spec call(node(), term()) -> term().
call(Tiebeam, Request) ->
    gen_server:call({node_monitor, Tiebeam}, Request).
