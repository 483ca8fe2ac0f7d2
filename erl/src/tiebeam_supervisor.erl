%% @doc A supervisor whose children run on all hosts of a cluster.
%%
%% A tiebeam node places the children, restarts them, and moves them when nodes
%% come and go. Its process answers what `supervisor' and `DynamicSupervisor'
%% are asked, so that these modules work on `{Name, TiebeamNode}' without this
%% one. This one starts a supervisor from a supervision tree:
%%
%% ```
%% -module(jobs).
%% -export([start_link/1, init/1]).
%% start_link(TiebeamNode) ->
%%     tiebeam_supervisor:start_link(?MODULE, [], #{node => TiebeamNode}).
%% init([]) ->
%%     {ok, [{max_restarts, 3}, {hosts, all}]}.
%% '''
%%
%% Without `node' it is that of the node's own sidecar (tiebeam_sidecar). With
%% `host => true' the children may run on this node: the process that is their
%% parent here, tiebeam_host, is started with it, and stopped after it.
%%
%% The process that start_link registers is of this node and has the name of the
%% supervisor here: it passes on what it is asked. While its tiebeam node cannot
%% be reached requests wait for some seconds. It ends when the supervisor ends
%% or its node is lost, and whoever supervises it starts it again; that it ends
%% does nothing to the supervisor and its children, for other nodes may have
%% started the same one. stop/1 ends all of it.
-module(tiebeam_supervisor).
-behaviour(gen_server).
%% format_status/1 cannot tell what supervisor:get_callback_module/1 looks for.
-compile(nowarn_deprecated_callback).

-export([start_link/1, start_link/2, start_link/3, child_spec/1]).
-export([start_child/2, start_children/2, terminate_child/2, which_children/1, count_children/1]).
-export([rebalance/1, locate/2, locate/3, drain/2, undrain/2, forget/2, hosts/1, info/1, explain/2]).
-export([reconfigure/2, stop/1, stop/2, stop/3]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2, format_status/2]).
-export_type([ref/0, option/0, options/0, spec/0]).

-type ref() :: pid() | atom() | {Name :: atom(), node()}.
-type locator() :: phash2 | rendezvous | least_loaded | {module(), atom()}.
-type filter() :: module | all | {basename, unicode:chardata()} | {nodes, [node()]} | managed.
-type option() ::
    {strategy, one_for_one}
    | {max_restarts, non_neg_integer()}
    | {max_seconds, pos_integer()}
    | {max_children, non_neg_integer() | infinity}
    | {auto_shutdown, never}
    | {extra_arguments, list()}
    | {auto_balance, boolean()}
    | {locator, locator()}
    | {hosts, filter()}
    | {host_module, load | preloaded}
    | {split_policy, restart}
    | {settle_ms, non_neg_integer()}
    | {move_concurrency, pos_integer()}
    | {forget_ms, non_neg_integer() | infinity}
    | {start_rate, pos_integer() | infinity}
    | {backoff, none | {pos_integer(), pos_integer()}}.
%% The keys of option(), and those of the process here: its place, and what
%% gen_server:start_link/4 takes (debug, hibernate_after, spawn_opt, timeout).
-type options() :: #{name := atom(), node => node(), host => boolean(), atom() => term()}.
-type dynamic_spec() ::
    {{module(), atom(), list()}, permanent | transient | temporary, brutal_kill | timeout(), worker | supervisor,
        [module()] | dynamic}.
-type spec() :: supervisor:child_spec() | dynamic_spec().

%% What a module gives from init/1.
-callback init(Args :: term()) -> {ok, [option()]} | ignore.

-record(state, {
    name :: atom(),
    node :: node() | own,
    %% that gave the flags, or this one
    callback :: module(),
    flags :: [{atom(), term()}],
    %% while it is there
    monitor :: reference() | undefined,
    %% while it is not, the newest first
    waiting = [] :: [{Due :: integer(), gen_server:from(), Request :: term()}]
}).

%% How long a request waits for the tiebeam node, and how often that is looked for.
-define(WAIT, 5000).
-define(AGAIN, 100).
%% What is for gen_server:start_link/4.
-define(SERVER, [debug, hibernate_after, spawn_opt, timeout]).

%% ---------------------------------------------------------------- starting

%% @doc Starts the supervisor `name' on the tiebeam node, unless it is there,
%% with the other keys as its options.
-spec start_link(options()) -> {ok, pid()} | {error, term()}.
start_link(#{name := Name} = Options) ->
    Flags = maps:to_list(maps:without([name, node, host | ?SERVER], Options)),
    start_link(Name, ?MODULE, Flags, Options).

%% @doc The same with what `Module:init(Args)' gives, and the module as the
%% name. As in OTP, 1 restart in 5 seconds where it does not say otherwise.
-spec start_link(module(), term()) -> {ok, pid()} | ignore | {error, term()}.
start_link(Module, Args) ->
    start_link(Module, Args, #{}).

%% @doc `name', if it is another one, and those of the process here.
-spec start_link(module(), term(), #{name => atom(), node => node(), host => boolean(), atom() => term()}) ->
    {ok, pid()} | ignore | {error, term()}.
start_link(Module, Args, Options) ->
    case Module:init(Args) of
        {ok, Flags} when is_list(Flags) ->
            Defaults = [{max_restarts, 1} || not lists:keymember(max_restarts, 1, Flags)],
            start_link(maps:get(name, Options, Module), Module, Defaults ++ Flags, Options);
        ignore ->
            ignore;
        Other ->
            {error, {bad_return, {Module, init, Other}}}
    end.

start_link(Name, Callback, Flags, Options) ->
    State = {Name, maps:get(node, Options, own), Callback, Flags},
    Args = [{local, Name}, ?MODULE, State, maps:to_list(maps:with(?SERVER, Options))],
    case maps:get(host, Options, false) of
        false -> apply(gen_server, start_link, Args);
        true -> tiebeam_host_sup:start_link(Name, {gen_server, start_link, Args})
    end.

%% @doc For the supervision tree of an application.
-spec child_spec(options()) -> supervisor:child_spec().
child_spec(#{name := Name} = Options) ->
    #{id => Name, start => {?MODULE, start_link, [Options]}, type => supervisor}.

%% ------------------------------------------------------------------ asking

-spec start_child(ref(), spec()) -> {ok, pid() | undefined} | {ok, pid(), term()} | ignore | {error, term()}.
start_child(Ref, Spec) ->
    gen_server:call(Ref, {start_child, Spec}, infinity).

%% @doc Many in one request; the results in the order of the specs.
-spec start_children(ref(), [spec()]) -> [{ok, pid() | undefined} | {ok, pid(), term()} | ignore | {error, term()}].
start_children(Ref, Specs) ->
    gen_server:call(Ref, {start_children, Specs}, infinity).

%% @doc A dynamic child by its pid, a named one by its id.
-spec terminate_child(ref(), pid() | term()) -> ok | {error, term()}.
terminate_child(Ref, Child) ->
    gen_server:call(Ref, {terminate_child, Child}, infinity).

-spec which_children(ref()) ->
    [{Id :: term(), pid() | restarting | undefined, worker | supervisor, [module()] | dynamic}].
which_children(Ref) ->
    gen_server:call(Ref, which_children, infinity).

-spec count_children(ref()) -> [{specs | active | supervisors | workers, non_neg_integer()}].
count_children(Ref) ->
    gen_server:call(Ref, count_children, infinity).

%% @doc Children go to where the locator wants them now.
-spec rebalance(ref()) -> ok.
rebalance(Ref) ->
    gen_server:call(Ref, rebalance, infinity).

%% @doc Where a child with that spec would start.
-spec locate(ref(), spec()) -> node() | {error, term()}.
locate(Ref, Spec) ->
    locate(Ref, Spec, infinity).

-spec locate(ref(), spec(), timeout()) -> node() | {error, term()}.
locate(Ref, Spec, Timeout) ->
    gen_server:call(Ref, {locate, Spec}, Timeout).

%% @doc Children leave that node, and none starts there, until undrain/2 or
%% until the node has been started again.
-spec drain(ref(), node()) -> ok | {error, not_found}.
drain(Ref, Node) ->
    gen_server:call(Ref, {drain, Node}, infinity).

-spec undrain(ref(), node()) -> ok | {error, not_found}.
undrain(Ref, Node) ->
    gen_server:call(Ref, {undrain, Node}, infinity).

%% @doc A host that is down, and does not come back, leaves the agreed set now
%% and not after `forget_ms'. Should it come back all the same, it is emptied.
-spec forget(ref(), node()) -> ok | {error, not_found | {connected, node()}}.
forget(Ref, Node) ->
    gen_server:call(Ref, {forget, Node}, infinity).

%% @doc Where children may start now.
-spec hosts(ref()) -> [node()].
hosts(Ref) ->
    gen_server:call(Ref, hosts, infinity).

-spec info(ref()) -> map().
info(Ref) ->
    gen_server:call(Ref, info, infinity).

%% @doc Where a child is and belongs; and of each node whether it is a host.
-spec explain(ref(), pid() | term()) -> map().
explain(Ref, Child) ->
    gen_server:call(Ref, {explain, Child}, infinity).

%% @doc Other options, while it runs; those that are not named stay. They are
%% told to all tiebeam nodes.
-spec reconfigure(ref(), [option()]) -> ok | {error, term()}.
reconfigure(Ref, Options) ->
    gen_server:call(Ref, {reconfigure, Options}, infinity).

%% @doc All children stop, on all hosts. The supervisor is then there again,
%% without children.
-spec stop(ref()) -> ok.
stop(Ref) ->
    stop(Ref, normal).

-spec stop(ref(), term()) -> ok.
stop(Ref, Reason) ->
    stop(Ref, Reason, infinity).

-spec stop(ref(), term(), timeout()) -> ok.
stop(Ref, Reason, Timeout) when is_atom(Ref) ->
    stop(gen_server:call(Ref, '$tb_supervisor', Timeout), Reason, Timeout);
stop(Ref, Reason, Timeout) ->
    gen_server:stop(Ref, Reason, Timeout).

%% ---------------------------------------------- the process that passes on

%% @private
-spec init({atom(), node() | own, module(), [{atom(), term()}]}) -> {ok, #state{}} | {stop, term()}.
init({Name, Node, Callback, Flags}) ->
    attach(#state{name = Name, node = Node, callback = Callback, flags = Flags}).

%% What does not answer is asked again; what refuses is an error.
attach(#state{name = Name, flags = Flags} = S) ->
    try gen_server:call({tiebeam, node_of(S)}, {start_service, supervisors, Name, Flags}, ?WAIT) of
        {ok, _} -> attached(S);
        {error, {already_started, _}} -> attached(S);
        {error, Reason} -> {stop, Reason}
    catch
        exit:_ ->
            _ = erlang:send_after(?AGAIN, self(), attach),
            {ok, S}
    end.

%% A sidecar's name is that of this node, which may get one later.
node_of(#state{node = own}) ->
    application:get_env(tiebeam, node, tiebeam_sidecar:name());
node_of(#state{node = Node}) ->
    Node.

there(#state{name = Name} = S) ->
    {Name, node_of(S)}.

attached(#state{waiting = Waiting} = S) ->
    Supervisor = there(S),
    [pass_on(From, Request, Supervisor) || {_, From, Request} <- lists:reverse(Waiting)],
    {ok, S#state{monitor = erlang:monitor(process, Supervisor), waiting = []}}.

%% The answer goes from there to the caller.
pass_on(From, Request, Supervisor) ->
    Supervisor ! {'$gen_call', From, Request},
    ok.

%% @private
-spec handle_call(term(), gen_server:from(), #state{}) -> {reply, term(), #state{}} | {noreply, #state{}}.
handle_call('$tb_supervisor', _, S) ->
    {reply, there(S), S};
handle_call(Request, From, #state{monitor = undefined, waiting = Waiting} = S) ->
    Due = erlang:monotonic_time(millisecond) + ?WAIT,
    {noreply, S#state{waiting = [{Due, From, Request} | Waiting]}};
handle_call(Request, From, S) ->
    pass_on(From, Request, there(S)),
    {noreply, S}.

%% @private
-spec handle_cast(term(), #state{}) -> {noreply, #state{}}.
handle_cast(Request, S) ->
    gen_server:cast(there(S), Request),
    {noreply, S}.

%% @private
-spec handle_info(term(), #state{}) -> {noreply, #state{}} | {stop, term(), #state{}}.
handle_info(attach, #state{monitor = undefined} = S) ->
    case attach(expire(S)) of
        {ok, Next} -> {noreply, Next};
        {stop, Reason} -> {stop, Reason, S}
    end;
handle_info({'DOWN', Monitor, process, _, Reason}, #state{monitor = Monitor} = S) ->
    {stop, Reason, S};
handle_info(_, S) ->
    {noreply, S}.

%% @private
-spec format_status(normal | terminate, [term()]) -> term().
format_status(terminate, [_, S]) ->
    S;
format_status(_, [_, #state{callback = Callback} = S]) ->
    [{data, [{"State", S}]}, {supervisor, [{"Callback", Callback}]}].

expire(#state{waiting = Waiting} = S) ->
    Now = erlang:monotonic_time(millisecond),
    {Left, Over} = lists:partition(fun({Due, _, _}) -> Due > Now end, Waiting),
    _ = [gen_server:reply(From, {error, {not_attached, [node_of(S)]}}) || {_, From, _} <- Over],
    S#state{waiting = Left}.
