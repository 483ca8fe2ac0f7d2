%% @doc The parent of the children that a tiebeam supervisor has on this node.
%%
%% A supervisor `Name' of a tiebeam node has one such process on each node that
%% may run children, registered as `tiebeam_host_Name'. It starts and stops what
%% it is told to, keeps a table of it, and tells everything that happens to the
%% tiebeam processes that are attached. It decides nothing: without a tiebeam
%% process the children run on, and what exits stays in the table as `exited'.
%% Another host, named by the owner, holds copies of the entries; this one holds
%% copies for others. The messages are in priv/doc/host.md.
%%
%% A tiebeam node loads this module and starts it under `kernel_safe_sup' where a
%% release does not contain it. A release that does puts `child_spec/1' into its own
%% tree, so that the children stop in the right order at shutdown. A host started there
%% takes over one that runs under `kernel_safe_sup': that one stops its
%% children in good order and hands over its table, as copies of a host that is gone, and
%% the owner starts them again.
%%
%% However the host ends, it stops its children first: named ones in the
%% reverse order of their starts, all dynamic ones at once beside them. Only
%% `kill' leaves that to the links.
%%
%% It is a special process, not a gen_server: events of all messages that wait
%% leave together, and `sys:get_status/1' says what a supervisor's says.
-module(tiebeam_host).

%% API
-export([start_link/1, child_spec/1]).
%% proc_lib and sys
-export([init/2, format_status/2]).
-export([system_continue/3, system_terminate/4, system_code_change/4]).
-export([system_get_state/1, system_replace_state/2]).
-export_type([name/0, key/0, spec/0, entry/0]).

-include_lib("kernel/include/logger.hrl").

-define(VERSION, 1).
%% entries or copies in one message
-define(PART, 1000).
%% events after which a message is sent, also when more messages wait
-define(BATCH, 256).
%% milliseconds that events of one long command wait at most
-define(PATIENCE, 20).
%% bytes that wait for an attached process which does not read
-define(MAX_RELAY, 256 * 1024 * 1024).
%% milliseconds of a timer, at most
-define(LONGEST, 16#ffffffff).
%% milliseconds for what runs and is in no table, after the host crashed
-define(UNKNOWN_SHUTDOWN, 5000).

-type name() :: atom().
-type key() :: {node(), Creation :: integer(), N :: integer()}.
-type spec() ::
    {dynamic | named, Id :: term(), {module(), Function :: atom(), Args :: list()},
        permanent | transient | temporary, Significant :: boolean(),
        brutal_kill | timeout(), worker | supervisor, Modules :: [module()] | dynamic}.
-type final() :: delete | {delete, Tombstone :: boolean()} | stopped | {moving, node()}.
-type state() ::
    {running, pid()}
    | {exited, Reason :: term(), pid()}
    | stopped
    | undefined
    | {stopping, pid(), final()}
    | {moving, node()}.
-type count() :: term().
-type entry() :: {key(), count(), spec(), state()}.
-type copy_state() :: running | {exited, term()} | stopped | undefined | {moving, node()}.
-type copy() :: {put, key(), count(), spec(), copy_state()} | {delete, key()} | clear | whole.
-type inc() :: {Creation :: integer(), Id :: binary()}.
-type copies() :: #{key() => {count(), spec(), copy_state()}}.

-record(child, {
    key :: key(),
    count :: count(),
    spec :: spec(),
    state :: state(),
    %% the order of starts; a restart keeps its place
    place :: integer(),
    %% while it is stopping: the monitor, and what kills it when its time is up
    monitor :: reference() | undefined,
    timer :: reference() | undefined
}).

%% A way to another node. A peer that does not read blocks the relay, not the
%% host: the host sends itself as long as that does not block and nothing waits
%% in the relay.
-record(relay, {
    to :: pid() | {atom(), node()},
    pid :: pid(),
    %% how many messages the relay has not sent yet
    waiting :: atomics:atomics_ref()
}).

%% A tiebeam process.
-record(attached, {
    pid :: pid(),
    monitor :: reference(),
    relay :: #relay{},
    lease :: pos_integer(),
    due :: integer(),
    %% when a lease that is past due has run out
    grace :: integer() | undefined,
    expired = false :: boolean(),
    ready = false :: boolean()
}).

%% Where copies of our entries go.
-record(backup, {
    node :: node(),
    monitor :: reference(),
    relay :: #relay{},
    %% it has been sent everything, and misses nothing that we know of
    synced = false :: boolean()
}).

%% Copies that are held for one incarnation of another host.
-record(held, {
    %% of the last message, and of the last one that is in `whole'
    last :: integer() | none,
    seq :: integer() | none,
    whole :: copies() | none,
    build = none :: copies() | none,
    asked = false :: boolean()
}).

%% Children of a closed generation: those that have not ended yet, and the named
%% ones in the order in which they are to be stopped.
-record(closing, {
    generation :: integer() | clear,
    left :: #{pid() => #child{}},
    queue :: [pid()],
    current :: pid() | none
}).

-record(state, {
    name :: name(),
    parent :: pid(),
    preloaded :: boolean(),
    inc :: inc(),
    children = #{} :: #{key() => #child{}},
    pids = #{} :: #{pid() => key()},
    places = 0 :: integer(),
    closing = [] :: [#closing{}],
    closed = 0 :: integer(),
    tombstones = #{} :: #{key() => []},
    records = #{} :: #{atom() => {Stamp :: term(), Value :: term()}},
    held = #{} :: #{{node(), inc()} => #held{}},
    %% those whose copies were not taken, since they are no members of the set
    strangers = #{} :: #{{node(), inc()} => []},
    backup = none :: #backup{} | none,
    seq = 0 :: integer(),
    attached = #{} :: #{pid() => #attached{}},
    owner = none :: pid() | none,
    epoch :: integer(),
    lease_timer :: reference() | undefined,
    stopping = false :: boolean(),
    %% what the next flush sends, last first
    events = [] :: [tuple() | atom()],
    waiting = 0 :: non_neg_integer(),
    %% children have exited since: perhaps since the node goes down
    exits = false :: boolean(),
    flushed = 0 :: integer(),
    flushes = 0 :: non_neg_integer(),
    copies = [] :: [copy()]
}).

%% --------------------------------------------------------------------- API

%% @doc Starts the host of supervisor `Name' on this node.
%%
%% Takes over one that runs under `kernel_safe_sup', see above; returns when its
%% children have ended.
-spec start_link(name()) -> {ok, pid()} | {error, {already_started, pid()} | term()}.
start_link(Name) when is_atom(Name) ->
    proc_lib:start_link(?MODULE, init, [self(), Name]).

%% @doc The host of supervisor `Name' for a supervisor of the release.
-spec child_spec(name()) -> supervisor:child_spec().
child_spec(Name) when is_atom(Name) ->
    #{
        id => {?MODULE, Name},
        start => {?MODULE, start_link, [Name]},
        restart => permanent,
        shutdown => infinity,
        type => supervisor,
        modules => [?MODULE]
    }.

%% -------------------------------------------------------------------- start

%% @private
-spec init(pid(), name()) -> no_return().
init(Parent, Name) ->
    process_flag(trap_exit, true),
    Preloaded = is_preloaded(Parent),
    State = #state{
        name = Name,
        parent = Parent,
        preloaded = Preloaded,
        inc = new_inc(),
        epoch = binary:decode_unsigned(rand_bytes(4))
    },
    case take_name(registered_name(Name), Preloaded, State) of
        {ok, Ready} ->
            ok = net_kernel:monitor_nodes(true, [{node_type, visible}]),
            proc_lib:init_ack(Parent, {ok, self()}),
            guarded(Ready);
        {error, Reason} ->
            proc_lib:init_ack(Parent, {error, Reason}),
            exit(normal)
    end.

new_inc() ->
    {erlang:system_info(creation), rand_bytes(8)}.

rand_bytes(N) ->
    _ = rand:seed(exsss),
    << <<(rand:uniform(256) - 1)>> || _ <- lists:seq(1, N) >>.

registered_name(Name) ->
    list_to_atom("tiebeam_host_" ++ atom_to_list(Name)).

is_preloaded(Parent) ->
    whereis(kernel_safe_sup) =:= Parent.

take_name(Registered, Preloaded, State) ->
    try register(Registered, self()) of
        true -> {ok, State}
    catch
        error:badarg ->
            case whereis(Registered) of
                undefined -> take_name(Registered, Preloaded, State);
                Pid when Preloaded -> {error, {already_started, Pid}};
                Pid -> take_over(Pid, Registered, State)
            end
    end.

take_over(Pid, Registered, State) ->
    try gen_server:call(Pid, hand_over, infinity) of
        {ok, Table} -> take_name(Registered, false, taken(Table, State));
        {error, not_preloaded} -> {error, {already_started, Pid}}
    catch
        exit:_ -> take_name(Registered, false, State)
    end.

%% Our own entries are copies of one that is gone: the owner starts them again.
-spec hand_over(gen_server:from(), #state{}) -> no_return().
hand_over(From, State) ->
    Entries = maps:from_list([
        {K, {Count, Spec, copy_state(S)}}
     || #child{key = K, count = Count, spec = Spec, state = S} <- maps:values(State#state.children),
        element(4, Spec) =/= temporary
    ]),
    Held = [{Of, Seq, Whole} || {Of, #held{seq = Seq, whole = Whole}} <- maps:to_list(State#state.held), Whole =/= none],
    Table = #{
        copies => [{{node(), State#state.inc}, State#state.seq, Entries} | Held],
        tombstones => State#state.tombstones,
        records => State#state.records,
        closed => State#state.closed
    },
    ok = terminate(taken_over, State),
    true = unregister(registered_name(State#state.name)),
    gen_server:reply(From, {ok, Table}),
    exit({end_host, normal, State#state{children = #{}, pids = #{}, attached = #{}, closing = []}}).

taken(#{copies := Copies, tombstones := Tombstones, records := Records, closed := Closed}, State) ->
    Held = [{Of, #held{last = none, seq = Seq, whole = Whole}} || {Of, Seq, Whole} <- Copies],
    State#state{
        held = maps:from_list(Held),
        tombstones = Tombstones,
        records = Records,
        closed = Closed
    }.

%% What it has started is stopped also when this module fails.
-spec guarded(#state{}) -> no_return().
guarded(State) ->
    try
        loop(State)
    catch
        exit:{end_host, Reason, Last} ->
            ok = terminate(Reason, Last),
            exit(Reason);
        exit:{failed, Class, Reason, Stack, Last} ->
            ok = terminate(failed, Last),
            erlang:raise(Class, Reason, Stack);
        Class:Reason:Stack ->
            %% outside of a message: the links say what there is
            ok = terminate(failed, State),
            erlang:raise(Class, Reason, Stack)
    end.

%% --------------------------------------------------------------------- loop

-spec loop(#state{}) -> no_return().
loop(State) ->
    receive
        {system, From, Request} -> system(From, Request, State);
        Message -> busy(try_handle(Message, State))
    end.

-spec system({pid(), term()}, term(), #state{}) -> no_return().
system(From, Request, #state{parent = Parent} = State) ->
    sys:handle_system_msg(Request, From, Parent, ?MODULE, [], flush(State)).

%% Keeps what there was before a message that fails.
try_handle(Message, State) ->
    try
        handle(Message, State)
    catch
        exit:{end_host, _, _} = End -> exit(End);
        Class:Reason:Stack -> exit({failed, Class, Reason, Stack, State})
    end.

%% Events leave when nothing waits, or when there are many.
-spec busy(#state{}) -> no_return().
busy(#state{waiting = Waiting} = State) when Waiting >= ?BATCH ->
    loop(flush(State));
busy(State) ->
    receive
        {system, From, Request} -> system(From, Request, State);
        Message -> busy(try_handle(Message, State))
    after 0 -> loop(flush(State))
    end.

handle({'$gen_cast', Request}, State) ->
    cast(Request, State);
handle({'$gen_call', From, Request}, State) ->
    call(Request, From, State);
handle({'EXIT', Parent, Reason}, #state{parent = Parent} = State) ->
    end_host(Reason, State);
handle({'EXIT', Pid, Reason}, State) ->
    ended(Pid, Reason, State);
handle({'DOWN', Monitor, process, Pid, Reason}, State) ->
    down(Monitor, Pid, Reason, State);
handle({timeout, Timer, {kill, Pid}}, State) ->
    time_is_up(Timer, Pid, State);
handle({timeout, Timer, lease}, #state{lease_timer = Timer} = State) ->
    judge(State#state{lease_timer = undefined});
handle({tiebeam_copy, Name, Node, Inc, Generation, Seq, Copies, Pids}, #state{name = Name} = State) ->
    copied({Node, Inc}, Generation, Seq, Copies, Pids, State);
handle({tiebeam_copy_again, Name, Holder, Inc}, #state{name = Name, inc = Inc} = State) ->
    copy_again(Holder, State);
handle({nodeup, Node, _}, State) ->
    copy_again_to_lost(Node, event({nodes, nodes()}, State));
handle({nodedown, _, _}, State) ->
    event({nodes, nodes()}, State);
handle(_, State) ->
    State.

-spec end_host(term(), #state{}) -> no_return().
end_host(Reason, State) ->
    exit({end_host, Reason, State}).

cast({run, Pid, Epoch, Generation, SetStamp, Commands}, State) when is_list(Commands) ->
    run(Pid, Epoch, Generation, SetStamp, Commands, State);
cast({lease, Pid, Ready}, State) ->
    judge(renew(Pid, Ready, State));
cast({detach, Pid}, State) ->
    judge(detach(Pid, State));
cast(_, State) ->
    State.

call({attach, Version, Pid, Options}, From, State) ->
    attach(Version, Pid, Options, From, State);
call(table, From, #state{children = Children} = State) ->
    reply(From, [entry(C) || C <- maps:values(Children)], State);
call(which_children, From, #state{children = Children} = State) ->
    reply(From, [shown(C) || C <- maps:values(Children)], State);
call(count_children, From, State) ->
    reply(From, counted(State), State);
call(hand_over, From, #state{preloaded = true} = State) ->
    hand_over(From, State);
call(hand_over, From, State) ->
    reply(From, {error, not_preloaded}, State);
call(Request, From, State) ->
    reply(From, {error, {unknown_request, Request}}, State).

reply({_, _} = From, Answer, State) ->
    gen_server:reply(From, Answer),
    State;
reply(_, _, State) ->
    State.

entry(#child{key = Key, count = Count, spec = Spec, state = State}) ->
    {Key, Count, Spec, State}.

shown(#child{spec = Spec, state = State}) ->
    {element(2, Spec), shown_pid(State), element(7, Spec), element(8, Spec)}.

shown_pid({running, Pid}) -> Pid;
shown_pid({stopping, Pid, _}) -> Pid;
shown_pid({exited, _, _}) -> restarting;
shown_pid(_) -> undefined.

counted(#state{children = Children, pids = Pids}) ->
    Supervisors = length([C || #child{spec = S} = C <- maps:values(Children), element(7, S) =:= supervisor]),
    [
        {specs, maps:size(Children)},
        {active, maps:size(Pids)},
        {supervisors, Supervisors},
        {workers, maps:size(Children) - Supervisors}
    ].

%% ----------------------------------------------------------- those attached

attach(Version, Pid, #{lease := Lease}, From, State) when
    is_integer(Version), Version >= 1, is_pid(Pid), is_integer(Lease), Lease > 0
->
    %% another process of that node has taken its place
    Others = [P || P <- maps:keys(State#state.attached), node(P) =:= node(Pid)],
    Alone = lists:foldl(fun detach/2, flush(State), Others),
    New = #attached{
        pid = Pid,
        monitor = monitor(process, Pid),
        relay = start_relay(Pid),
        lease = Lease,
        due = now_ms() + Lease
    },
    Attached = Alone#state{attached = (Alone#state.attached)#{Pid => New}},
    Judged = flush(judge(Attached)),
    Answer = {ok, min(Version, ?VERSION), Judged#state.inc, info(Judged)},
    hand({relay_reply, From, Answer}, New#attached.relay),
    tell_table(New, Judged),
    Judged;
attach(Version, _, _, From, State) when not is_integer(Version); Version < 1 ->
    reply(From, {error, {version, Version}}, State);
attach(_, _, _, From, State) ->
    reply(From, {error, badarg}, State).

info(State) ->
    #{
        otp => list_to_integer(erlang:system_info(otp_release)),
        nodes => nodes(),
        closed => State#state.closed,
        records => State#state.records,
        owner => owner_node(State),
        epoch => State#state.epoch,
        backup => backup_node(State),
        seq => State#state.seq
    }.

owner_node(#state{owner = none}) -> none;
owner_node(#state{owner = Pid}) -> node(Pid).

backup_node(#state{backup = none}) -> none;
backup_node(#state{backup = #backup{node = Node}}) -> Node.

tell_table(To, State) ->
    Tell = fun(Event) -> send(To, message([Event], State)) end,
    in_parts(fun(Part) -> Tell({entries, Part}) end, [entry(C) || C <- maps:values(State#state.children)]),
    _ = [tell_copies(Tell, Of, Held) || {Of, Held} <- maps:to_list(State#state.held)],
    in_parts(fun(Part) -> Tell({tombstones, Part}) end, maps:keys(State#state.tombstones)),
    State#state.stopping andalso Tell({stopping, node}),
    Tell(attached).

tell_copies(_, _, #held{whole = none}) ->
    ok;
tell_copies(Tell, {Node, Inc}, #held{seq = Seq, whole = Whole}) when map_size(Whole) =:= 0 ->
    Tell({copies, Node, Inc, Seq, []});
tell_copies(Tell, {Node, Inc}, #held{seq = Seq, whole = Whole}) ->
    Entries = [{K, Count, Spec, S} || {K, {Count, Spec, S}} <- maps:to_list(Whole)],
    in_parts(fun(Part) -> Tell({copies, Node, Inc, Seq, Part}) end, Entries).

in_parts(_, []) ->
    ok;
in_parts(Do, List) ->
    {Part, Rest} = part(List),
    _ = Do(Part),
    in_parts(Do, Rest).

part(List) ->
    try
        lists:split(?PART, List)
    catch
        error:badarg -> {List, []}
    end.

detach(Pid, #state{attached = Attached} = State) ->
    case maps:take(Pid, Attached) of
        {#attached{monitor = Monitor, relay = Relay}, Rest} ->
            demonitor(Monitor, [flush]),
            end_relay(Relay),
            State#state{attached = Rest};
        error ->
            State
    end.

renew(Pid, Ready, #state{attached = Attached} = State) ->
    case Attached of
        #{Pid := A} ->
            Renewed = A#attached{
                due = now_ms() + A#attached.lease,
                grace = undefined,
                expired = false,
                ready = Ready =:= true
            },
            State#state{attached = Attached#{Pid := Renewed}};
        _ ->
            State
    end.

%% ----------------------------------------------------------------- the owner

%% Who owns: the smallest node name of those who are ready and whose lease has
%% not run out. Renewals that wait count first.
judge(State) ->
    Now = now_ms(),
    Waiting =
        case is_late(Now, State) of
            true -> take_leases(State);
            false -> State
        end,
    Aged = maps:map(fun(_, A) -> age(Now, A) end, Waiting#state.attached),
    Judged = lease_timer(Now, Waiting#state{attached = Aged}),
    name_owner(elect(maps:values(Aged)), note_stop(Judged)).

is_late(Now, #state{attached = Attached}) ->
    lists:any(fun(#attached{due = Due}) -> Due =< Now end, maps:values(Attached)).

take_leases(State) ->
    receive
        {'$gen_cast', {lease, Pid, Ready}} -> take_leases(renew(Pid, Ready, State))
    after 0 -> State
    end.

age(Now, #attached{due = Due} = A) when Due > Now ->
    A;
age(Now, #attached{grace = undefined, expired = false, lease = Lease} = A) ->
    A#attached{grace = Now + max(1, Lease div 4)};
age(Now, #attached{grace = Grace} = A) when is_integer(Grace), Grace =< Now ->
    A#attached{grace = undefined, expired = true};
age(_, A) ->
    A.

lease_timer(Now, #state{lease_timer = Old, attached = Attached} = State) ->
    _ = Old =/= undefined andalso erlang:cancel_timer(Old),
    case [look_again(A) || #attached{expired = false} = A <- maps:values(Attached)] of
        [] ->
            State#state{lease_timer = undefined};
        Times ->
            Timer = erlang:start_timer(max(0, lists:min(Times) - Now), self(), lease),
            State#state{lease_timer = Timer}
    end.

look_again(#attached{grace = undefined, due = Due}) -> Due;
look_again(#attached{grace = Grace}) -> Grace.

elect(Attached) ->
    case lists:sort([{node(P), P} || #attached{pid = P, ready = true, expired = false} <- Attached]) of
        [] -> none;
        [{_, Pid} | _] -> Pid
    end.

name_owner(Pid, #state{owner = Pid} = State) ->
    State;
name_owner(Pid, #state{epoch = Epoch} = State) ->
    Named = State#state{owner = Pid, epoch = Epoch + 1},
    event({owner, owner_node(Named), Epoch + 1}, Named).

%% Whether this node is going down; what exits then does not exit by itself. So
%% it comes before all that is still to be told.
note_stop(#state{stopping = true} = State) ->
    State;
note_stop(#state{events = Events, waiting = Waiting} = State) ->
    case is_stopping() of
        true -> State#state{stopping = true, events = Events ++ [{stopping, node}], waiting = Waiting + 1};
        false -> State
    end.

%% Asked by another process: init:get_status/0 looks at each message that waits.
is_stopping() ->
    {Pid, Monitor} = spawn_monitor(fun() -> exit(init:get_status()) end),
    receive
        {'DOWN', Monitor, process, Pid, {stopping, _}} -> true;
        {'DOWN', Monitor, process, Pid, _} -> false
    end.

%% ----------------------------------------------------------------- commands

run(Pid, Epoch, Generation, SetStamp, Commands, State) ->
    case refusal(Pid, Epoch, Generation, SetStamp, Commands, State) of
        none -> lists:foldl(fun run_one/2, State, Commands);
        Reason -> refuse(Pid, Reason, Commands, State)
    end.

refusal(_, Epoch, _, _, _, #state{epoch = Other}) when Epoch =/= Other ->
    epoch;
refusal(Pid, _, _, _, _, #state{owner = Other}) when Pid =/= Other ->
    owner;
refusal(_, _, Generation, SetStamp, Commands, State) ->
    Open = open_generation(State),
    Closed = Open =< State#state.closed andalso lists:any(fun needs_generation/1, Commands),
    case lists:all(fun is_command/1, Commands) of
        _ when Generation =/= Open; Closed -> generation;
        false -> badarg;
        true -> older(SetStamp, State)
    end.

open_generation(#state{records = #{generation := {_, Generation}}}) -> Generation;
open_generation(_) -> 0.

older(Stamp, #state{records = #{set := {Own, _}}}) ->
    case is_higher(Own, Stamp) of
        true -> set;
        false -> none
    end;
older(_, _) ->
    none.

%% Stamps are {Counter, Node}; `none' is the lowest.
is_higher(A, B) ->
    B =:= none orelse (A =/= none andalso A > B).

%% Commands that begin or end something for a child.
needs_generation({start, _, _, _, _}) -> true;
needs_generation({keep, _, _, _, _}) -> true;
needs_generation({stop, _, _}) -> true;
needs_generation({delete, _, _}) -> true;
needs_generation(_) -> false.

is_command({start, Key, _, Spec, Extra}) ->
    is_key(Key) andalso is_spec(Spec) andalso is_list(Extra);
is_command({keep, Key, _, Spec, Kept}) ->
    is_key(Key) andalso is_spec(Spec) andalso (Kept =:= stopped orelse Kept =:= undefined);
is_command({stop, Key, Final}) ->
    is_key(Key) andalso is_final(Final);
is_command({delete, Key, Tombstone}) ->
    is_key(Key) andalso is_boolean(Tombstone);
is_command({tombstone, Keys}) ->
    is_list(Keys) andalso lists:all(fun is_key/1, Keys);
is_command({forget, Keys}) ->
    is_list(Keys) andalso lists:all(fun is_key/1, Keys);
is_command({record, Name, {Counter, Node}, _}) ->
    is_atom(Name) andalso is_integer(Counter) andalso is_atom(Node);
is_command({backup, Node}) ->
    is_atom(Node) andalso Node =/= node();
is_command({copies, Node}) ->
    is_atom(Node);
is_command({drop, Node, _}) ->
    is_atom(Node);
is_command({close, Generation}) ->
    is_integer(Generation);
is_command({clear, _}) ->
    true;
is_command(_) ->
    false.

is_key({Node, Creation, N}) ->
    is_atom(Node) andalso is_integer(Creation) andalso is_integer(N);
is_key(_) ->
    false.

is_spec({Kind, _, {M, F, A}, Restart, Significant, Shutdown, Type, Modules}) when
    is_atom(M), is_atom(F), is_list(A), is_boolean(Significant)
->
    lists:member(Kind, [dynamic, named]) andalso
        lists:member(Restart, [permanent, transient, temporary]) andalso
        is_shutdown(Shutdown) andalso
        lists:member(Type, [worker, supervisor]) andalso
        (Modules =:= dynamic orelse is_list(Modules));
is_spec(_) ->
    false.

is_shutdown(Ms) when is_integer(Ms) -> Ms >= 0;
is_shutdown(Shutdown) -> lists:member(Shutdown, [brutal_kill, infinity]).

is_final(delete) -> true;
is_final({delete, Tombstone}) -> is_boolean(Tombstone);
is_final(stopped) -> true;
is_final({moving, To}) -> is_atom(To);
is_final(_) -> false.

%% Only the process that asked is told.
refuse(Pid, Reason, Commands, State) ->
    Flushed = flush(State),
    case Flushed#state.attached of
        #{Pid := A} -> send(A, message([{refused, Reason, keys(Commands)}], Flushed));
        _ -> ok
    end,
    Flushed.

keys(Commands) ->
    [element(2, C) || C <- Commands, is_tuple(C), tuple_size(C) > 1, is_key(element(2, C))].

run_one(Command, #state{waiting = Waiting} = State) when Waiting >= ?BATCH ->
    command(Command, flush(State));
run_one(Command, #state{waiting = Waiting, flushed = Flushed} = State) when Waiting > 0 ->
    case now_ms() - Flushed >= ?PATIENCE of
        true -> command(Command, flush(State));
        false -> command(Command, State)
    end;
run_one(Command, State) ->
    command(Command, State).

command({start, Key, Count, Spec, Extra}, State) ->
    start(Key, Count, Spec, Extra, State);
command({keep, Key, Count, Spec, Kept}, State) ->
    keep(Key, Count, Spec, Kept, State);
command({stop, Key, Final}, State) ->
    stop(Key, Final, State);
command({delete, Key, Tombstone}, State) ->
    delete(Key, Tombstone, State);
command({tombstone, Keys}, #state{tombstones = Tombstones} = State) ->
    New = maps:from_list([{Key, []} || Key <- Keys]),
    event({recorded, tombstones}, State#state{tombstones = maps:merge(Tombstones, New)});
command({forget, Keys}, #state{tombstones = Tombstones} = State) ->
    event({recorded, tombstones}, State#state{tombstones = maps:without(Keys, Tombstones)});
command({record, Name, Stamp, Value}, State) ->
    record(Name, Stamp, Value, State);
command({backup, Node}, State) ->
    event({backup, Node}, change_backup(Node, State));
command({copies, Node}, State) ->
    show_copies(Node, State);
command({drop, Node, Inc}, #state{held = Held} = State) ->
    %% one that lives, as after a cut, must not believe that they are here
    Id = {Node, Inc},
    _ = [ask_again(Id, maps:get(Id, Held), State) || is_map_key(Id, Held)],
    event({dropped, Node, Inc}, State#state{held = maps:remove(Id, Held)});
command({close, Generation}, State) ->
    close(Generation, State);
command({clear, Inc}, #state{inc = Inc} = State) ->
    clear(State);
command({clear, Inc}, State) ->
    event({cleared, Inc}, State).

record(Name, Stamp, Value, #state{records = Records} = State) ->
    Kept =
        case Records of
            #{Name := {Own, _} = Present} ->
                case is_higher(Stamp, Own) of
                    true -> {Stamp, Value};
                    false -> Present
                end;
            _ ->
                {Stamp, Value}
        end,
    {KeptStamp, KeptValue} = Kept,
    Recorded = event({record, Name, KeptStamp, KeptValue}, State#state{records = Records#{Name => Kept}}),
    case Name of
        set -> admit(Recorded);
        _ -> Recorded
    end.

%% What members had sent before they were members.
admit(#state{strangers = Strangers} = State) ->
    New = [Of || {Node, _} = Of <- maps:keys(Strangers), is_member(Node, State)],
    Asked = maps:from_list([{Of, ask_again(Of, no_copies(), State)} || Of <- New]),
    State#state{strangers = #{}, held = maps:merge(Asked, State#state.held)}.

%% A host that was forgotten comes with a table of another time. Before there
%% is a set all are members.
is_member(Node, #state{records = #{set := {_, {Nodes, _}}}}) when is_list(Nodes) ->
    lists:member(Node, Nodes);
is_member(_, _) ->
    true.

%% ------------------------------------------------------------------ a start

start(Key, Count, Spec, Extra, #state{children = Children} = State) ->
    case Children of
        #{Key := Child} ->
            case is_busy(Child) of
                true -> present(Child, State);
                false -> started(Child, Count, Spec, outcome(Spec, Extra), State)
            end;
        _ ->
            started(none, {Key, Count}, Spec, outcome(Spec, Extra), State)
    end.

is_busy(#child{state = {running, _}}) -> true;
is_busy(#child{state = {stopping, _, _}}) -> true;
is_busy(_) -> false.

present(#child{key = Key, count = Count, spec = Spec, state = Present}, State) ->
    event({started, Key, Count, Spec, {present, Present}}, State).

outcome({_, _, {M, F, A}, _, _, _, _, _}, Extra) ->
    try apply(M, F, Extra ++ A) of
        {ok, Pid} when is_pid(Pid) -> {ok, Pid};
        {ok, Pid, Info} when is_pid(Pid) -> {ok, Pid, Info};
        ignore -> ignore;
        {error, Reason} -> {error, Reason};
        Other -> {other, Other}
    catch
        Class:Reason:Stack -> {exception, Class, Reason, Stack}
    end.

started(none, {Key, Count}, Spec, Outcome, #state{places = Place} = State) ->
    Child = #child{key = Key, count = Count, spec = Spec, state = undefined, place = Place},
    Told = event({started, Key, Count, Spec, Outcome}, State#state{places = Place + 1}),
    case Outcome of
        {ok, Pid} -> runs(Child, Pid, Told);
        {ok, Pid, _} -> runs(Child, Pid, Told);
        ignore when element(1, Spec) =:= named, element(4, Spec) =/= temporary -> put_child(Child, Told);
        _ -> Told
    end;
started(Old, Count, Spec, Outcome, State) ->
    Child = Old#child{count = Count, spec = Spec},
    Told = event({started, Child#child.key, Count, Spec, Outcome}, State),
    case Outcome of
        {ok, Pid} ->
            runs(Child, Pid, Told);
        {ok, Pid, _} ->
            runs(Child, Pid, Told);
        ignore when element(1, Spec) =:= named ->
            put_child(Child#child{state = undefined}, Told);
        ignore ->
            Told;
        _ ->
            report(start_error, failure(Outcome), Old, Told),
            Told
    end.

runs(#child{key = Key} = Child, Pid, #state{pids = Pids} = State) ->
    put_child(Child#child{state = {running, Pid}}, State#state{pids = Pids#{Pid => Key}}).

%% As a supervisor has it in its reports.
failure({error, Reason}) -> Reason;
failure({other, Term}) -> Term;
failure({exception, error, Reason, Stack}) -> {'EXIT', {Reason, Stack}};
failure({exception, exit, Reason, _}) -> {'EXIT', Reason};
failure({exception, throw, Term, _}) -> Term.

keep(Key, Count, Spec, Kept, #state{children = Children, places = Place} = State) ->
    Child =
        case Children of
            #{Key := C} -> C;
            _ -> #child{key = Key, count = Count, spec = Spec, state = Kept, place = Place}
        end,
    case is_busy(Child) of
        true ->
            present(Child, State);
        false ->
            New = Child#child{count = Count, spec = Spec, state = Kept},
            Told = event({kept, Key, Count, Spec, Kept}, State#state{places = Place + 1}),
            put_child(New, Told)
    end.

%% The table, and the copy of it.
put_child(#child{key = Key} = Child, #state{children = Children} = State) ->
    copy_child(Child, State#state{children = Children#{Key => Child}}).

copy_child(#child{spec = Spec}, State) when element(4, Spec) =:= temporary ->
    State;
copy_child(#child{key = Key, count = Count, spec = Spec, state = Own}, State) ->
    copy({put, Key, Count, Spec, copy_state(Own)}, State).

copy_state({running, _}) -> running;
copy_state({stopping, _, _}) -> running;
copy_state({exited, Reason, _}) -> {exited, Reason};
copy_state(Other) -> Other.

remove_child(#child{key = Key, spec = Spec}, #state{children = Children} = State) ->
    Removed = State#state{children = maps:remove(Key, Children)},
    case element(4, Spec) of
        temporary -> Removed;
        _ -> copy({delete, Key}, Removed)
    end.

%% ------------------------------------------------------------------- a stop

stop(Key, Final, #state{children = Children} = State) ->
    case Children of
        #{Key := #child{state = {running, Pid}} = Child} ->
            Stopping = begin_stop(Child, Pid),
            State#state{children = Children#{Key := Stopping#child{state = {stopping, Pid, Final}}}};
        #{Key := #child{state = {stopping, Pid, _}} = Child} ->
            State#state{children = Children#{Key := Child#child{state = {stopping, Pid, Final}}}};
        #{Key := Child} ->
            finish(Child, Final, not_running, State);
        _ ->
            event({stopped, Key, Final, not_found}, bury(Key, Final, State))
    end.

%% Sends what the shutdown of the child says; its end comes as 'DOWN' or 'EXIT'.
begin_stop(#child{spec = Spec} = Child, Pid) ->
    Monitor = monitor(process, Pid),
    case element(6, Spec) of
        brutal_kill ->
            exit(Pid, kill),
            Child#child{monitor = Monitor};
        infinity ->
            exit(Pid, shutdown),
            Child#child{monitor = Monitor};
        Ms ->
            exit(Pid, shutdown),
            Child#child{monitor = Monitor, timer = erlang:start_timer(min(Ms, ?LONGEST), self(), {kill, Pid})}
    end.

time_is_up(Timer, Pid, State) ->
    case owner_of(Pid, State) of
        {child, #child{timer = Timer}} -> exit(Pid, kill);
        {closing, #child{timer = Timer}, _} -> exit(Pid, kill);
        _ -> true
    end,
    State.

end_stop(#child{monitor = Monitor, timer = Timer} = Child) ->
    _ = Monitor =/= undefined andalso demonitor(Monitor, [flush]),
    _ = Timer =/= undefined andalso erlang:cancel_timer(Timer),
    Child#child{monitor = undefined, timer = undefined}.

%% The child does not run: what is to be done with its entry.
finish(#child{key = Key} = Child, Final, Reason, State) ->
    Told = event({stopped, Key, Final, Reason}, bury(Key, Final, State)),
    case Final of
        delete -> remove_child(Child, Told);
        {delete, _} -> remove_child(Child, Told);
        stopped -> put_child(Child#child{state = stopped}, Told);
        {moving, To} -> put_child(Child#child{state = {moving, To}}, Told)
    end.

bury(Key, {delete, true}, #state{tombstones = Tombstones} = State) ->
    State#state{tombstones = Tombstones#{Key => []}};
bury(_, _, State) ->
    State.

delete(Key, Tombstone, #state{children = Children} = State) ->
    case Children of
        #{Key := Child} ->
            case is_busy(Child) of
                true ->
                    stop(Key, {delete, Tombstone}, State);
                false ->
                    Buried = bury(Key, {delete, Tombstone}, State),
                    event({deleted, Key}, remove_child(Child, Buried))
            end;
        _ ->
            event({deleted, Key}, bury(Key, {delete, Tombstone}, State))
    end.

%% ----------------------------------------------------------------- an end

owner_of(Pid, #state{pids = Pids, children = Children, closing = Closing}) ->
    case Pids of
        #{Pid := Key} ->
            {child, maps:get(Key, Children)};
        _ ->
            case [{closing, maps:get(Pid, L), C} || #closing{left = L} = C <- Closing, is_map_key(Pid, L)] of
                [Found | _] -> Found;
                [] -> none
            end
    end.

ended(Pid, Reason, State) ->
    case owner_of(Pid, State) of
        {child, #child{state = {stopping, _, Final}} = Child} ->
            stop_reported(Child, Reason, State),
            finish(end_stop(Child), Final, Reason, forget_pid(Pid, State));
        {child, Child} ->
            exited(Child, Pid, Reason, forget_pid(Pid, State));
        {closing, Child, Closing} ->
            stop_reported(Child, Reason, State),
            _ = end_stop(Child),
            closing_ended(Pid, Closing, State);
        none ->
            relay_ended(Pid, State)
    end.

forget_pid(Pid, #state{pids = Pids} = State) ->
    State#state{pids = maps:remove(Pid, Pids)}.

exited(#child{key = Key, spec = Spec} = Child, Pid, Reason, State) ->
    is_failure(element(4, Spec), Reason) andalso report(child_terminated, Reason, Child, State),
    Told = event({exited, Key, Pid, Reason}, State#state{exits = true}),
    put_child(Child#child{state = {exited, Reason, Pid}}, Told).

is_failure(permanent, _) -> true;
is_failure(_, normal) -> false;
is_failure(_, shutdown) -> false;
is_failure(_, {shutdown, _}) -> false;
is_failure(_, _) -> true.

%% As a supervisor reports a child that did not end as it was asked to.
stop_reported(#child{spec = Spec} = Child, Reason, State) ->
    Expected =
        case Reason of
            shutdown -> true;
            killed -> element(6, Spec) =:= brutal_kill;
            normal -> element(4, Spec) =/= permanent;
            {shutdown, _} -> element(4, Spec) =/= permanent;
            _ -> false
        end,
    Expected orelse report(shutdown_error, Reason, Child, State).

down(Monitor, Pid, Reason, #state{attached = Attached, backup = Backup} = State) ->
    case Attached of
        #{Pid := #attached{monitor = Monitor}} ->
            judge(detach(Pid, State));
        _ when is_record(Backup, backup), Backup#backup.monitor =:= Monitor ->
            State#state{backup = Backup#backup{synced = false}};
        _ ->
            stopped_down(Monitor, Pid, Reason, State)
    end.

%% One that we stop, and that had no link to us or has broken it.
stopped_down(Monitor, Pid, Reason, State) ->
    case owner_of(Pid, State) of
        {child, #child{monitor = Monitor}} -> ended(Pid, exit_reason(Pid, Reason), State);
        {closing, #child{monitor = Monitor}, _} -> ended(Pid, exit_reason(Pid, Reason), State);
        _ -> State
    end.

%% The link tells more than a monitor that was set when it was dead.
exit_reason(Pid, Reason) ->
    true = unlink(Pid),
    receive
        {'EXIT', Pid, Real} -> Real
    after 0 -> Reason
    end.

report(Context, Reason, #child{spec = Spec} = Child, #state{name = Name}) ->
    {_, Id, MFA, Restart, Significant, Shutdown, Type, _} = Spec,
    Offender = [
        {pid, last_pid(Child#child.state)},
        {id, Id},
        {mfargs, MFA},
        {restart_type, Restart},
        {significant, Significant},
        {shutdown, Shutdown},
        {child_type, Type}
    ],
    ?LOG_ERROR(
        #{
            label => {supervisor, Context},
            report => [
                {supervisor, {local, registered_name(Name)}},
                {errorContext, Context},
                {reason, Reason},
                {offender, Offender}
            ]
        },
        #{
            domain => [otp, sasl],
            report_cb => fun supervisor:format_log/2,
            logger_formatter => #{title => "SUPERVISOR REPORT"},
            error_logger => #{
                tag => error_report,
                type => supervisor_report,
                report_cb => fun supervisor:format_log/1
            }
        }
    ).

last_pid({running, Pid}) -> Pid;
last_pid({stopping, Pid, _}) -> Pid;
last_pid({exited, _, Pid}) -> Pid;
last_pid(_) -> undefined.

%% ------------------------------------------------------------------- closing

close(Generation, #state{closed = Closed} = State) when Generation =< Closed ->
    case lists:keymember(Generation, #closing.generation, State#state.closing) of
        true -> State;
        false -> event({closed, Generation}, State)
    end;
close(Generation, State) ->
    Refusing = State#state{closed = Generation},
    case open_generation(State) > Generation of
        true -> event({closed, Generation}, Refusing);
        false -> close_all(Generation, Refusing)
    end.

close_all(Generation, #state{children = Children} = State) ->
    Known = State#state.closing,
    Closing = closing(Generation, maps:values(Children)),
    Empty = State#state{
        children = #{},
        pids = #{},
        held = #{},
        tombstones = #{},
        copies = [whole, clear]
    },
    case advance(Closing) of
        #closing{left = Left} when map_size(Left) =:= 0 -> event({closed, Generation}, Empty);
        Begun -> Empty#state{closing = [Begun | Known]}
    end.

%% This host was forgotten: what it has is of another time. All of it goes, and
%% what is here then is another incarnation, without records.
clear(#state{children = Children, closing = Known} = State) ->
    case lists:keymember(clear, #closing.generation, Known) of
        true ->
            State;
        false ->
            Closing = advance(closing(clear, maps:values(Children))),
            Alone = end_backup(flush(State)),
            Empty = Alone#state{children = #{}, pids = #{}, held = #{}, tombstones = #{}, copies = []},
            case Closing of
                #closing{left = Left} when map_size(Left) =:= 0 -> cleared(Empty);
                Begun -> Empty#state{closing = [Begun | Known]}
            end
    end.

%% Commands that were on their way are for the former one.
cleared(#state{inc = Inc, epoch = Epoch} = State) ->
    Told = flush(event({cleared, Inc}, State)),
    Told#state{inc = new_inc(), epoch = Epoch + 1, records = #{}, held = #{}, strangers = #{}, seq = 0}.

%% All dynamic children are told to stop, the named ones wait for their turn.
closing(Generation, Children) ->
    Alive = [C || C <- Children, is_busy(C)],
    {Named, Dynamic} = lists:partition(fun(#child{spec = S}) -> element(1, S) =:= named end, Alive),
    Ordered = lists:reverse(lists:keysort(#child.place, Named)),
    Left = [{child_pid(C), to_stopping(C)} || C <- Dynamic] ++ [{child_pid(C), C} || C <- Ordered],
    #closing{
        generation = Generation,
        left = maps:from_list(Left),
        queue = [child_pid(C) || C <- Ordered],
        current = none
    }.

child_pid(#child{state = {running, Pid}}) -> Pid;
child_pid(#child{state = {stopping, Pid, _}}) -> Pid.

to_stopping(#child{state = {running, Pid}} = Child) ->
    (begin_stop(Child, Pid))#child{state = {stopping, Pid, delete}};
to_stopping(Child) ->
    Child.

%% The next named one, when none is being stopped.
advance(#closing{current = none, queue = [Pid | Rest], left = Left} = Closing) ->
    case Left of
        #{Pid := Child} -> Closing#closing{current = Pid, queue = Rest, left = Left#{Pid := to_stopping(Child)}};
        _ -> advance(Closing#closing{queue = Rest})
    end;
advance(Closing) ->
    Closing.

closing_ended(Pid, #closing{generation = Generation} = Closing, #state{closing = All} = State) ->
    Others = lists:keydelete(Generation, #closing.generation, All),
    case closing_without(Pid, Closing) of
        #closing{left = Left} when map_size(Left) =:= 0, Generation =:= clear ->
            cleared(State#state{closing = Others});
        #closing{left = Left} when map_size(Left) =:= 0 ->
            event({closed, Generation}, State#state{closing = Others});
        Next ->
            State#state{closing = [Next | Others]}
    end.

closing_without(Pid, #closing{left = Left, current = Current} = Closing) ->
    Less = Closing#closing{left = maps:remove(Pid, Left)},
    case Current of
        Pid -> advance(Less#closing{current = none});
        _ -> advance(Less)
    end.

%% -------------------------------------------------------- copies, of our own

change_backup(Node, State) ->
    Ended = end_backup(flush(State)),
    case Node of
        none ->
            Ended;
        _ ->
            Address = {registered_name(State#state.name), Node},
            Backup = #backup{
                node = Node,
                monitor = monitor(process, Address),
                relay = start_relay(Address)
            },
            copy_all(Ended#state{backup = Backup})
    end.

end_backup(#state{backup = none} = State) ->
    State;
end_backup(#state{backup = #backup{monitor = Monitor, relay = Relay}} = State) ->
    demonitor(Monitor, [flush]),
    end_relay(Relay),
    State#state{backup = none}.

copy_again(Holder, #state{backup = #backup{node = Holder}} = State) ->
    change_backup(Holder, State);
copy_again(_, State) ->
    State.

copy_again_to_lost(Node, #state{backup = #backup{node = Node, synced = false}} = State) ->
    change_backup(Node, State);
copy_again_to_lost(_, State) ->
    State.

%% Everything, in messages of their own.
copy_all(#state{children = Children, backup = Backup} = State) ->
    Puts = [
        {put, K, Count, Spec, copy_state(S)}
     || #child{key = K, count = Count, spec = Spec, state = S} <- maps:values(Children),
        element(4, Spec) =/= temporary
    ],
    copy_parts([clear | Puts], State#state{backup = Backup#backup{synced = true}, copies = []}).

copy_parts(Copies, State) ->
    case part(Copies) of
        {Last, []} -> send_copies(Last ++ [whole], State);
        {Part, Rest} -> copy_parts(Rest, send_copies(Part, State))
    end.

send_copies(Copies, #state{seq = Seq, backup = Backup} = State) ->
    Next = State#state{seq = Seq + 1},
    case Backup of
        #backup{relay = Relay, synced = true} ->
            Pids = maps:keys(State#state.attached),
            Generation = max(open_generation(State), 0),
            Message = {tiebeam_copy, State#state.name, node(), State#state.inc, Generation, Seq + 1, Copies, Pids},
            ok = pass(Message, Relay),
            Next;
        _ ->
            Next
    end.

copy(Copy, #state{copies = Copies} = State) ->
    State#state{copies = [Copy | Copies]}.

%% ------------------------------------------------------- copies, of others

%% A generation that is closed here: nothing is kept, and the writer may go on.
copied(Of, Generation, Seq, _, Pids, #state{closed = Closed, held = Held} = State) when
    Generation =< Closed, Generation > 0
->
    acknowledge(Of, Seq, Pids, State),
    State#state{held = maps:remove(Of, Held)};
copied({Node, _} = Of, _, Seq, Copies, Pids, State) ->
    case is_member(Node, State) of
        true -> copied(Of, Seq, Copies, Pids, State);
        false -> State#state{strangers = (State#state.strangers)#{Of => []}}
    end.

copied(Of, Seq, Copies, Pids, #state{held = Held} = State) ->
    Old = maps:get(Of, Held, no_copies()),
    case fit(Seq, Copies, Old) of
        {ok, New} ->
            New#held.build =:= none andalso acknowledge(Of, Seq, Pids, State),
            State#state{held = Held#{Of => New}};
        gap ->
            State#state{held = Held#{Of => ask_again(Of, Old, State)}}
    end.

no_copies() ->
    #held{last = none, seq = none, whole = none}.

fit(Seq, [clear | _] = Copies, Held) ->
    {ok, take_copies(Copies, Held#held{last = Seq, asked = false})};
fit(Seq, Copies, #held{last = Last} = Held) when Last =/= none, Seq =:= Last + 1 ->
    {ok, take_copies(Copies, Held#held{last = Seq})};
fit(_, _, _) ->
    gap.

take_copies(Copies, Held) ->
    case lists:foldl(fun take_copy/2, Held, Copies) of
        #held{build = none, last = Last} = Whole -> Whole#held{seq = Last};
        Building -> Building
    end.

take_copy(clear, Held) ->
    Held#held{build = #{}};
take_copy(whole, #held{build = Build} = Held) ->
    Held#held{whole = Build, build = none};
take_copy(Copy, #held{build = none, whole = Whole} = Held) ->
    Held#held{whole = change(Copy, Whole)};
take_copy(Copy, #held{build = Build} = Held) ->
    Held#held{build = change(Copy, Build)}.

change({put, Key, Count, Spec, State}, Copies) -> Copies#{Key => {Count, Spec, State}};
change({delete, Key}, Copies) -> maps:remove(Key, Copies).

%% Once; what is sent again begins with `clear'.
ask_again(_, #held{asked = true} = Held, _) ->
    Held;
ask_again({Node, Inc}, Held, #state{name = Name}) ->
    Again = {tiebeam_copy_again, Name, node(), Inc},
    _ = erlang:send({registered_name(Name), Node}, Again, [noconnect, nosuspend]),
    Held#held{asked = true}.

acknowledge({Node, Inc}, Seq, Pids, #state{name = Name, attached = Attached}) ->
    Message = {tiebeam_copied, Name, node(), Node, Inc, Seq},
    _ = [
        case Attached of
            #{Pid := A} -> send(A, Message);
            _ -> erlang:send(Pid, Message, [noconnect, nosuspend])
        end
     || Pid <- Pids
    ],
    ok.

show_copies(Node, State) ->
    Flushed = flush(State),
    _ = [
        [tell_copies(fun(Event) -> send(A, message([Event], Flushed)) end, Of, Held)
         || {{N, _} = Of, Held} <- maps:to_list(Flushed#state.held), N =:= Node]
     || A <- maps:values(Flushed#state.attached)
    ],
    event({copies, Node}, Flushed).

%% ------------------------------------------------------------------- telling

event(Event, #state{events = Events, waiting = Waiting} = State) ->
    State#state{events = [Event | Events], waiting = Waiting + 1}.

%% Copies first: the number that the events carry is theirs.
flush(#state{events = [], copies = []} = State) ->
    State;
flush(#state{exits = true} = State) ->
    flush(note_stop(State#state{exits = false}));
flush(#state{events = Events, copies = Copies, flushes = Flushes} = State) ->
    Sent = flush_copies(Copies, State#state{copies = []}),
    Told = flush_events(Events, Sent),
    relays_checked(Flushes, Told#state{
        events = [],
        waiting = 0,
        flushed = now_ms(),
        flushes = Flushes + 1
    }).

flush_copies([], State) ->
    State;
flush_copies(Copies, State) ->
    send_copies(lists:reverse(Copies), State).

flush_events([], State) ->
    State;
flush_events(Events, #state{attached = Attached} = State) ->
    Message = message(lists:reverse(Events), State),
    _ = [send(A, Message) || A <- maps:values(Attached)],
    State.

message(Events, #state{name = Name, inc = Inc, seq = Seq}) ->
    {tiebeam_host, Name, node(), Inc, Seq, Events}.

send(#attached{relay = Relay}, Message) ->
    pass(Message, Relay).

now_ms() ->
    erlang:monotonic_time(millisecond).

%% -------------------------------------------------------------------- relays

start_relay(To) ->
    Waiting = atomics:new(1, []),
    #relay{to = To, pid = spawn_link(fun() -> relay(To, Waiting) end), waiting = Waiting}.

relay(To, Waiting) ->
    receive
        {relay, Message} ->
            _ = erlang:send(To, Message, [noconnect]),
            atomics:sub(Waiting, 1, 1);
        {relay_reply, From, Answer} ->
            gen_server:reply(From, Answer),
            atomics:sub(Waiting, 1, 1);
        {relay_sync, Pid, Ref} ->
            Pid ! Ref
    end,
    relay(To, Waiting).

%% Behind what waits in the relay, so that all of it comes in order.
pass(Message, #relay{to = To, waiting = Waiting} = Relay) ->
    case atomics:get(Waiting, 1) of
        0 ->
            case erlang:send(To, Message, [noconnect, nosuspend]) of
                nosuspend -> hand({relay, Message}, Relay);
                _ -> ok
            end;
        _ ->
            hand({relay, Message}, Relay)
    end.

hand(What, #relay{pid = Pid, waiting = Waiting}) ->
    ok = atomics:add(Waiting, 1, 1),
    Pid ! What,
    ok.

end_relay(#relay{pid = Pid}) ->
    true = unlink(Pid),
    exit(Pid, kill),
    receive
        {'EXIT', Pid, _} -> ok
    after 0 -> ok
    end.

relay_ended(Pid, #state{attached = Attached, backup = Backup} = State) ->
    case [P || #attached{pid = P, relay = #relay{pid = R}} <- maps:values(Attached), R =:= Pid] of
        [Owner] -> judge(detach(Owner, State));
        [] -> backup_relay_ended(Pid, Backup, State)
    end.

backup_relay_ended(Pid, #backup{node = Node, relay = #relay{pid = Pid}}, State) ->
    change_backup(Node, State);
backup_relay_ended(_, _, State) ->
    State.

%% One that does not read is as good as gone; so is a backup, until it asks.
relays_checked(Flushes, State) when Flushes rem 64 =/= 0 ->
    State;
relays_checked(_, #state{attached = Attached, backup = Backup} = State) ->
    Full = [P || #attached{pid = P, relay = R} <- maps:values(Attached), is_full(R)],
    Less =
        case Full of
            [] -> State;
            _ -> judge(lists:foldl(fun detach/2, State, Full))
        end,
    case Backup of
        #backup{relay = Relay, node = Node} ->
            case is_full(Relay) of
                true -> change_backup_later(Node, Less);
                false -> Less
            end;
        none ->
            Less
    end.

is_full(#relay{pid = Pid}) ->
    case process_info(Pid, memory) of
        {memory, Bytes} -> Bytes > ?MAX_RELAY;
        undefined -> false
    end.

%% What waits is lost, and the holder finds a gap; it asks when it can.
change_backup_later(Node, #state{backup = #backup{relay = Relay} = Backup} = State) ->
    end_relay(Relay),
    State#state{backup = Backup#backup{relay = start_relay({registered_name(State#state.name), Node})}}.

%% -------------------------------------------------------------------- the end

%% Stops all children and waits for them.
terminate(Reason, State) ->
    Told = flush(event({stopping, Reason}, State)),
    Known = maps:keys(Told#state.pids) ++ lists:append([maps:keys(L) || #closing{left = L} <- Told#state.closing]),
    Closing = advance(closing(-1, maps:values(Told#state.children))),
    All = [C || #closing{left = L} = C <- [Closing | Told#state.closing], map_size(L) > 0],
    Unknown = stop_unknown(Known, Told),
    _ = drained(Told#state{children = #{}, pids = #{}, closing = All}),
    lists:foreach(fun await_unknown/1, Unknown),
    relays_synced(Told).

drained(#state{closing = []} = State) ->
    State;
drained(State) ->
    receive
        {'EXIT', Pid, Reason} -> drained(ended_last(Pid, Reason, State));
        {'DOWN', Monitor, process, Pid, Reason} -> drained(stopped_down(Monitor, Pid, Reason, State));
        {timeout, Timer, {kill, Pid}} -> drained(time_is_up(Timer, Pid, State))
    end.

ended_last(Pid, Reason, State) ->
    case owner_of(Pid, State) of
        none -> State;
        _ -> ended(Pid, Reason, State)
    end.

%% What is linked and in no table: it was started by a message that failed.
stop_unknown(Known, #state{parent = Parent, attached = Attached, backup = Backup}) ->
    {links, Links} = process_info(self(), links),
    Relays =
        [R || #attached{relay = #relay{pid = R}} <- maps:values(Attached)] ++
            [R || #backup{relay = #relay{pid = R}} <- [Backup]],
    Unknown = [P || P <- Links -- (Known ++ [Parent | Relays]), is_pid(P)],
    [
        begin
            Monitor = monitor(process, P),
            exit(P, shutdown),
            {P, Monitor}
        end
     || P <- Unknown
    ].

await_unknown({Pid, Monitor}) ->
    receive
        {'DOWN', Monitor, process, Pid, _} -> ok
    after ?UNKNOWN_SHUTDOWN ->
        exit(Pid, kill),
        receive
            {'DOWN', Monitor, process, Pid, _} -> ok
        end
    end.

%% What was told last is on its way, unless somebody does not read.
relays_synced(#state{attached = Attached}) ->
    Ref = make_ref(),
    _ = [R ! {relay_sync, self(), Ref} || #attached{relay = #relay{pid = R}} <- maps:values(Attached)],
    synced(map_size(Attached), Ref, now_ms() + 200).

synced(0, _, _) ->
    ok;
synced(Left, Ref, Until) ->
    receive
        Ref -> synced(Left - 1, Ref, Until)
    after max(0, Until - now_ms()) -> ok
    end.

%% ----------------------------------------------------------------------- sys

%% @private
-spec system_continue(pid(), [sys:dbg_opt()], #state{}) -> no_return().
system_continue(_, _, State) ->
    loop(State).

%% @private
-spec system_terminate(term(), pid(), [sys:dbg_opt()], #state{}) -> no_return().
system_terminate(Reason, _, _, State) ->
    end_host(Reason, State).

%% @private
-spec system_code_change(#state{}, module(), term(), term()) -> {ok, #state{}}.
system_code_change(State, _, _, _) ->
    {ok, State}.

%% @private
-spec system_get_state(#state{}) -> {ok, #state{}}.
system_get_state(State) ->
    {ok, State}.

%% @private
-spec system_replace_state(fun((#state{}) -> #state{}), #state{}) -> {ok, #state{}, #state{}}.
system_replace_state(Replace, State) ->
    New = Replace(State),
    {ok, New, New}.

%% The last element is what supervisor:get_callback_module/1 looks for.
%% @private
-spec format_status(normal | terminate, list()) -> list().
format_status(_, [_, SysState, Parent, _, #state{name = Name} = State]) ->
    [
        {header, "Status for tiebeam host " ++ atom_to_list(Name)},
        {data, [{"Status", SysState}, {"Parent", Parent}]},
        {data, [{"State", info(State)}]},
        {supervisor, [{"Callback", ?MODULE}]}
    ].
