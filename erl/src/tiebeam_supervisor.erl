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
%% The process that start_link gives is of this node and has the name of the
%% supervisor here: it passes on what it is asked. It ends when the supervisor
%% ends or its node is lost, and whoever supervises it starts it again; that it
%% ends does nothing to the supervisor and its children, for other nodes may
%% have started the same one. stop/1 ends all of it.
-module(tiebeam_supervisor).
-behaviour(gen_server).

-export([start_link/1, start_link/2, start_link/3, child_spec/1]).
-export([start_child/2, start_children/2, terminate_child/2, which_children/1, count_children/1]).
-export([rebalance/1, locate/2, locate/3, drain/2, undrain/2, hosts/1, info/1, explain/2]).
-export([reconfigure/2, stop/1, stop/2, stop/3]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2]).
-export_type([ref/0, option/0, spec/0]).

-type ref() :: pid() | atom() | {Name :: atom(), node()}.
-type locator() :: phash2 | rendezvous | least_loaded | {module(), atom()}.
-type filter() :: module | all | {basename, unicode:chardata()} | {nodes, [node()]} | managed.
-type option() ::
    {strategy, one_for_one}
    | {max_restarts, non_neg_integer()}
    | {max_seconds, pos_integer()}
    | {max_children, non_neg_integer() | infinity}
    | {extra_arguments, list()}
    | {auto_balance, boolean()}
    | {locator, locator()}
    | {hosts, filter()}
    | {host_module, load | preloaded}
    | {split_policy, restart}
    | {settle_ms, non_neg_integer()}
    | {move_concurrency, pos_integer()}
    | {start_rate, pos_integer() | infinity}
    | {backoff, none | {pos_integer(), pos_integer()}}.
-type dynamic_spec() ::
    {{module(), atom(), list()}, permanent | transient | temporary, brutal_kill | timeout(), worker | supervisor,
        [module()] | dynamic}.
-type spec() :: supervisor:child_spec() | dynamic_spec().

%% What a module gives from init/1.
-callback init(Args :: term()) -> {ok, [option()]} | ignore.

-record(state, {
    supervisor :: {atom(), node()},
    monitor :: reference()
}).

%% ---------------------------------------------------------------- starting

%% @doc Starts the supervisor `name' on the tiebeam `node', unless it is there,
%% with the other keys as its options.
-spec start_link(#{name := atom(), node := node(), atom() => term()}) -> {ok, pid()} | {error, term()}.
start_link(#{name := Name, node := Node} = Options) ->
    Flags = maps:to_list(maps:without([name, node], Options)),
    gen_server:start_link({local, Name}, ?MODULE, {Name, Node, Flags}, []).

%% @doc The same with what `Module:init(Args)' gives, and the module as the
%% name. As in OTP, 1 restart in 5 seconds where it does not say otherwise.
-spec start_link(module(), term()) -> {ok, pid()} | ignore | {error, term()}.
start_link(Module, Args) ->
    case application:get_env(tiebeam, node) of
        {ok, Node} -> start_link(Module, Args, #{node => Node});
        undefined -> {error, {badarg, node}}
    end.

%% @doc `name', if it is another one, and the tiebeam `node'.
-spec start_link(module(), term(), #{node := node(), name => atom()}) -> {ok, pid()} | ignore | {error, term()}.
start_link(Module, Args, #{node := Node} = Options) ->
    Name = maps:get(name, Options, Module),
    case Module:init(Args) of
        {ok, Flags} when is_list(Flags) ->
            Defaults = [{max_restarts, 1} || not lists:keymember(max_restarts, 1, Flags)],
            gen_server:start_link({local, Name}, ?MODULE, {Name, Node, Defaults ++ Flags}, []);
        ignore ->
            ignore;
        Other ->
            {error, {bad_return, {Module, init, Other}}}
    end.

%% @doc For the supervision tree of an application.
-spec child_spec(#{name := atom(), node := node(), atom() => term()}) -> supervisor:child_spec().
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
-spec init({atom(), node(), [option()]}) -> {ok, #state{}} | {stop, term()}.
init({Name, Node, Flags}) ->
    case gen_server:call({tiebeam, Node}, {start_service, supervisors, Name, Flags}, infinity) of
        {ok, _} -> watch(Name, Node);
        {error, {already_started, _}} -> watch(Name, Node);
        {error, Reason} -> {stop, Reason}
    end.

watch(Name, Node) ->
    Supervisor = {Name, Node},
    {ok, #state{supervisor = Supervisor, monitor = erlang:monitor(process, Supervisor)}}.

%% The answer goes from there to the caller.
%% @private
-spec handle_call(term(), gen_server:from(), #state{}) -> {reply, term(), #state{}} | {noreply, #state{}}.
handle_call('$tb_supervisor', _, #state{supervisor = Supervisor} = S) ->
    {reply, Supervisor, S};
handle_call(Request, From, #state{supervisor = Supervisor} = S) ->
    Supervisor ! {'$gen_call', From, Request},
    {noreply, S}.

%% @private
-spec handle_cast(term(), #state{}) -> {noreply, #state{}}.
handle_cast(Request, #state{supervisor = Supervisor} = S) ->
    gen_server:cast(Supervisor, Request),
    {noreply, S}.

%% @private
-spec handle_info(term(), #state{}) -> {noreply, #state{}} | {stop, term(), #state{}}.
handle_info({'DOWN', Monitor, process, _, Reason}, #state{monitor = Monitor} = S) ->
    {stop, Reason, S};
handle_info(_, S) ->
    {noreply, S}.
