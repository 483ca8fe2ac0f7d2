%% @doc A behaviour for processes that form a cluster: a `gen_server' that knows
%% the other members, is told when they come and go, and one of which leads.
%%
%% The callbacks are those of `gen_server', and these:
%%
%%   handle_join(Pid, Plist, State) -> {ok, State}
%%     another member is there: it has joined, or was there before us
%%   handle_leave(Pid, Plist, Reason, State) -> {ok, State}
%%     one is gone; Reason is that of its end, `noconnection', or `leave'
%%   handle_node_joined(Pid, Plist, State) -> {ok, State}   (optional)
%%     it is the first member of its node; before handle_join/3
%%   handle_leader(Pid, Plist, State) -> {ok, State}        (optional)
%%     another one leads now, which may be this process
%%   seed_nodes(State) -> [node()]                          (optional)
%%     nodes to be connected to, at the start and whenever they are lost
%%
%% Plist is `[{Type, [Pid]}]', this process included.
%%
%% Members are those of the groups `{Cluster, Type}' of pg's scope
%% `tiebeam_cluster', which is started where there is none; so processes of any
%% node can be members, those of a tiebeam node too. The leader holds the
%% cluster's name in `global': calls to `{global, Cluster}' reach it. A tiebeam
%% node registers the next one as soon as the leader has gone; where there is no
%% tiebeam node the members do it themselves, a little later.
%%
%% In a split each side has members, and a leader, of its own. When it heals one
%% of the two keeps the name; nobody is killed.
-module(tiebeam_cluster).
-behaviour(gen_server).

%% start
-export([start/3, start/4, start_link/3, start_link/4]).
%% questions to a member
-export([plist/1, mod_plist/2, leader/1, cluster/1, add_child/3]).
%% gen_server
-export([init/1, handle_call/3, handle_cast/2, handle_info/2, handle_continue/2]).
-export([terminate/2, code_change/3]).
-export_type([cluster/0, type/0, plist/0, option/0]).

-type cluster() :: term().
-type type() :: term().
-type plist() :: [{type(), [pid()]}].
%% cluster and type are the module unless they are given.
-type option() ::
    {cluster, cluster()}
    | {type, type()}
    | {seed, node() | [node()]}
    | {timeout, timeout()}
    | {debug, [sys:debug_option()]}
    | {hibernate_after, timeout()}
    | {spawn_opt, [proc_lib:spawn_option()]}.
-type name() :: {local, atom()} | {global, term()} | {via, module(), term()}.
-type server() :: pid() | atom() | {atom(), node()} | name().

-callback init(Args :: term()) ->
    {ok, State :: term()}
    | {ok, State :: term(), timeout() | hibernate | {continue, term()}}
    | {stop, Reason :: term()}
    | ignore.
-callback handle_join(pid(), plist(), State :: term()) -> {ok, NewState :: term()}.
-callback handle_leave(pid(), plist(), Reason :: term(), State :: term()) -> {ok, NewState :: term()}.
-callback handle_node_joined(pid(), plist(), State :: term()) -> {ok, NewState :: term()}.
-callback handle_leader(pid(), plist(), State :: term()) -> {ok, NewState :: term()}.
-callback seed_nodes(State :: term()) -> [node()].
-callback handle_call(Request :: term(), gen_server:from(), State :: term()) -> term().
-callback handle_cast(Request :: term(), State :: term()) -> term().
-callback handle_info(Info :: term(), State :: term()) -> term().
-callback handle_continue(Continue :: term(), State :: term()) -> term().
-callback terminate(Reason :: term(), State :: term()) -> term().
-callback code_change(Old :: term(), State :: term(), Extra :: term()) -> {ok, term()} | {error, term()}.
-optional_callbacks([handle_node_joined/3, handle_leader/3, seed_nodes/1]).
-optional_callbacks([handle_info/2, handle_continue/2, terminate/2, code_change/3]).

-define(SCOPE, ?MODULE).
%% gen_cluster's tag.
-define(TAG, '$gen_cluster').
%% A leave may be followed by the reason of an end.
-define(LEAVE_MS, 50).
%% The leader is looked at, and seeds that were lost are dialled.
-define(CHECK_MS, 5000).
%% Nobody leads: the first member of all takes the name after that long, the
%% next twice as long, and so on; a tiebeam node does it within milliseconds.
-define(TAKE_MS, 150).
-define(LOOK_MS, 10).

-record(state, {
    module :: module(),
    inner :: term(),
    cluster :: cluster(),
    type :: type(),
    seeds :: [node()],
    %% of the scope process, and of its news
    scope :: reference(),
    news :: reference(),
    %% by time of joining
    members = [] :: [{type(), pid()}],
    monitors = #{} :: #{pid() => reference()},
    %% who left without a reason yet
    leaving = #{} :: #{{type(), pid()} => reference()},
    leader :: pid() | undefined,
    leader_monitor :: reference() | undefined,
    %% since when, in milliseconds, nobody leads
    vacant :: integer() | undefined,
    timer :: reference() | undefined
}).

%% ------------------------------------------------------------------- start

%% @doc As `gen_server:start/3'. Options also: `cluster', `type', `seed'.
-spec start(module(), term(), [option()]) -> gen_server:start_ret().
start(Module, Args, Options) ->
    {Ours, Options1} = options(Module, Options),
    gen_server:start(?MODULE, {Module, Args, Ours}, Options1).

-spec start(name(), module(), term(), [option()]) -> gen_server:start_ret().
start(Name, Module, Args, Options) ->
    {Ours, Options1} = options(Module, Options),
    gen_server:start(Name, ?MODULE, {Module, Args, Ours}, Options1).

-spec start_link(module(), term(), [option()]) -> gen_server:start_ret().
start_link(Module, Args, Options) ->
    {Ours, Options1} = options(Module, Options),
    gen_server:start_link(?MODULE, {Module, Args, Ours}, Options1).

-spec start_link(name(), module(), term(), [option()]) -> gen_server:start_ret().
start_link(Name, Module, Args, Options) ->
    {Ours, Options1} = options(Module, Options),
    gen_server:start_link(Name, ?MODULE, {Module, Args, Ours}, Options1).

options(Module, Options) ->
    Given = [O || {Key, _} = O <- Options, lists:member(Key, [cluster, type, seed])],
    Ours = #{
        cluster => proplists:get_value(cluster, Given, Module),
        type => proplists:get_value(type, Given, Module),
        seeds => lists:flatten([S || {seed, S} <- Given]) ++ known()
    },
    {Ours, Options -- Given}.

%% erl -gen_cluster_known Node
known() ->
    [list_to_atom(N) || {ok, Lists} <- [init:get_argument(gen_cluster_known)], List <- Lists, N <- List].

%% --------------------------------------------------------------- questions

%% @doc All members that this one knows.
-spec plist(server()) -> plist().
plist(Server) ->
    call(Server, plist).

%% @doc Those of a type.
-spec mod_plist(type(), server()) -> [pid()].
mod_plist(Type, Server) ->
    call(Server, {mod_plist, Type}).

-spec leader(server()) -> pid() | undefined.
leader(Server) ->
    call(Server, leader).

%% @doc The cluster's name, in `global' too.
-spec cluster(server()) -> cluster().
cluster(Server) ->
    call(Server, globally_registered_name).

%% @doc Make any process a member of the cluster that this one is in. It is told
%% nothing, and need know nothing of clusters.
-spec add_child(server(), type(), pid()) -> ok | {error, term()}.
add_child(Server, Type, Pid) ->
    join(node(Pid), {cluster(Server), Type}, Pid).

call(Server, Request) ->
    gen_server:call(Server, {?TAG, Request}).

join(Node, Group, Pid) when Node =:= node() ->
    _ = pg:start(?SCOPE),
    pg:join(?SCOPE, Group, Pid);
join(Node, Group, Pid) ->
    try
        _ = erpc:call(Node, pg, start, [?SCOPE]),
        erpc:call(Node, pg, join, [?SCOPE, Group, Pid])
    catch
        Class:Reason -> {error, {Class, Reason}}
    end.

%% -------------------------------------------------------------- gen_server

-type more() :: timeout() | hibernate | {continue, term()}.
-type next() ::
    {noreply, #state{}}
    | {noreply, #state{}, more()}
    | {stop, Reason :: term(), #state{}}.
-type answer() ::
    next()
    | {reply, Reply :: term(), #state{}}
    | {reply, Reply :: term(), #state{}, more()}
    | {stop, Reason :: term(), Reply :: term(), #state{}}.

-spec init({module(), term(), map()}) ->
    {ok, #state{}} | {ok, #state{}, more()} | {stop, Reason :: term()} | ignore.
init({Module, Args, Ours}) ->
    case Module:init(Args) of
        {ok, Inner} -> {ok, begin_with(Module, Inner, Ours)};
        {ok, Inner, More} -> {ok, begin_with(Module, Inner, Ours), More};
        Other -> Other
    end.

begin_with(Module, Inner, #{cluster := Cluster, type := Type, seeds := Seeds}) ->
    S = attach(#state{
        module = Module,
        inner = Inner,
        cluster = Cluster,
        type = Type,
        seeds = Seeds ++ callback(Module, seed_nodes, [Inner], []),
        scope = make_ref(),
        news = make_ref()
    }),
    dial(S),
    check(S).

%% Joins the cluster through the scope of this node, and learns who is there.
attach(#state{cluster = Cluster, type = Type, members = Before} = S) ->
    _ = [discover(Pid) || {ok, Pid} <- [pg:start(?SCOPE)]],
    Scope = monitor(process, ?SCOPE),
    ok = pg:join(?SCOPE, {Cluster, Type}, self()),
    {News, Groups} = pg:monitor_scope(?SCOPE),
    Now = [{T, Pid} || {{C, T}, Pids} <- maps:to_list(Groups), C =:= Cluster, Pid <- Pids],
    S1 = S#state{scope = Scope, news = News},
    S2 = lists:foldl(fun({T, Pid}, Acc) -> joined(T, Pid, Acc) end, S1, Now),
    lists:foldl(fun(M, Acc) -> gone(M, leave, Acc) end, S2, Before -- Now).

%% A tiebeam node is hidden, and looks for a scope only now and then.
discover(Scope) ->
    [{?SCOPE, Node} ! {discover, Scope} || Node <- nodes(hidden)].

-spec handle_call(term(), gen_server:from(), #state{}) -> answer().
handle_call({?TAG, Request}, _, S) ->
    {reply, answer(Request, S), S};
handle_call(Request, From, #state{module = M, inner = I} = S) ->
    wrap(M:handle_call(Request, From, I), S).

answer(plist, S) -> plist_of(S);
answer({mod_plist, Type}, #state{members = Ms}) -> [Pid || {T, Pid} <- Ms, T =:= Type];
answer(leader, #state{cluster = Cluster}) -> global:whereis_name(Cluster);
answer(globally_registered_name, #state{cluster = Cluster}) -> Cluster;
answer(_, _) -> {error, badarg}.

-spec handle_cast(term(), #state{}) -> next().
handle_cast(Request, #state{module = M, inner = I} = S) ->
    wrap(M:handle_cast(Request, I), S).

-spec handle_continue(term(), #state{}) -> next().
handle_continue(Continue, #state{module = M, inner = I} = S) ->
    wrap(M:handle_continue(Continue, I), S).

-spec handle_info(term(), #state{}) -> next().
handle_info({News, What, {Cluster, Type}, Pids}, #state{news = News, cluster = Cluster} = S) ->
    {noreply, lists:foldl(fun(Pid, Acc) -> news(What, Type, Pid, Acc) end, S, Pids)};
handle_info({News, _, _, _}, #state{news = News} = S) ->
    {noreply, S};
handle_info({'DOWN', Ref, process, _, _}, #state{scope = Ref} = S) ->
    {noreply, attach(S)};
handle_info({'DOWN', Ref, process, _, _}, #state{leader_monitor = Ref} = S) ->
    {noreply, check(S#state{leader_monitor = undefined})};
handle_info({'DOWN', Ref, process, Pid, Reason} = Info, #state{monitors = Monitors} = S) ->
    case Monitors of
        #{Pid := Ref} -> {noreply, down(Pid, Reason, S)};
        #{} -> inner_info(Info, S)
    end;
handle_info({timeout, Timer, {?TAG, check}}, #state{timer = Timer} = S) ->
    dial(S),
    {noreply, check(S#state{timer = undefined})};
handle_info({timeout, _, {?TAG, check}}, S) ->
    {noreply, S};
handle_info({timeout, Timer, {?TAG, left, Member}}, #state{leaving = Leaving} = S) ->
    case Leaving of
        #{Member := Timer} -> {noreply, gone(Member, leave, S)};
        #{} -> {noreply, S}
    end;
handle_info({global_name_conflict, Cluster}, #state{cluster = Cluster} = S) ->
    {noreply, check(S)};
handle_info(Info, S) ->
    inner_info(Info, S).

inner_info(Info, #state{module = M, inner = I} = S) ->
    case erlang:function_exported(M, handle_info, 2) of
        true -> wrap(M:handle_info(Info, I), S);
        false -> {noreply, S}
    end.

-spec terminate(term(), #state{}) -> term().
terminate(Reason, #state{module = M, inner = I}) ->
    callback(M, terminate, [Reason, I], ok).

-spec code_change(term(), #state{}, term()) -> {ok, #state{}} | {error, term()}.
code_change(Old, #state{module = M, inner = I} = S, Extra) ->
    case callback(M, code_change, [Old, I, Extra], {ok, I}) of
        {ok, New} -> {ok, S#state{inner = New}};
        Other -> Other
    end.

wrap({reply, Reply, I}, S) -> {reply, Reply, S#state{inner = I}};
wrap({reply, Reply, I, More}, S) -> {reply, Reply, S#state{inner = I}, More};
wrap({noreply, I}, S) -> {noreply, S#state{inner = I}};
wrap({noreply, I, More}, S) -> {noreply, S#state{inner = I}, More};
wrap({stop, Reason, Reply, I}, S) -> {stop, Reason, Reply, S#state{inner = I}};
wrap({stop, Reason, I}, S) -> {stop, Reason, S#state{inner = I}};
wrap(Other, _) -> exit({bad_return_value, Other}).

callback(Module, Function, Args, Default) ->
    case erlang:function_exported(Module, Function, length(Args)) of
        true -> apply(Module, Function, Args);
        false -> Default
    end.

%% ----------------------------------------------------------------- members

plist_of(#state{members = Members}) ->
    Types = lists:foldl(fun({T, _}, Acc) -> [T | Acc -- [T]] end, [], lists:reverse(Members)),
    [{T, [Pid || {U, Pid} <- Members, U =:= T]} || T <- Types].

news(join, Type, Pid, S) -> joined(Type, Pid, S);
news(leave, Type, Pid, S) -> left({Type, Pid}, S).

joined(Type, Pid, #state{members = Members, leaving = Leaving} = S) ->
    Member = {Type, Pid},
    case lists:member(Member, Members) of
        true ->
            S#state{leaving = maps:remove(Member, Leaving)};
        false ->
            IsFirst = not lists:any(fun({_, P}) -> node(P) =:= node(Pid) end, Members),
            welcome(Pid, IsFirst, watch(Pid, S#state{members = Members ++ [Member]}))
    end.

watch(Pid, #state{monitors = Monitors} = S) when Pid =:= self(); is_map_key(Pid, Monitors) ->
    S;
watch(Pid, #state{monitors = Monitors} = S) ->
    S#state{monitors = Monitors#{Pid => monitor(process, Pid)}}.

welcome(Pid, _, S) when Pid =:= self() ->
    S;
welcome(Pid, true, S) ->
    welcome(Pid, false, told(handle_node_joined, [Pid, plist_of(S)], S));
welcome(Pid, false, S) ->
    told(handle_join, [Pid, plist_of(S)], S).

%% pg says so; if it has ended, its DOWN says why.
left(Member, #state{members = Members, leaving = Leaving} = S) ->
    {_, Pid} = Member,
    case lists:member(Member, Members) of
        true when Pid =/= self() ->
            Timer = erlang:start_timer(?LEAVE_MS, self(), {?TAG, left, Member}),
            S#state{leaving = Leaving#{Member => Timer}};
        true ->
            gone(Member, leave, S);
        false ->
            S
    end.

down(Pid, Reason, #state{members = Members, monitors = Monitors} = S) ->
    Gone = [M || {_, P} = M <- Members, P =:= Pid],
    S1 = lists:foldl(fun(M, Acc) -> gone(M, Reason, Acc) end, S, Gone),
    S1#state{monitors = maps:remove(Pid, Monitors)}.

gone({_, Pid} = Member, Reason, #state{members = Members, leaving = Leaving} = S) ->
    S1 = unwatch(Pid, S#state{members = Members -- [Member], leaving = maps:remove(Member, Leaving)}),
    case Pid =:= self() of
        true -> S1;
        false -> told(handle_leave, [Pid, plist_of(S1), Reason], S1)
    end.

unwatch(Pid, #state{members = Members, monitors = Monitors} = S) ->
    case lists:keymember(Pid, 2, Members) orelse not is_map_key(Pid, Monitors) of
        true ->
            S;
        false ->
            true = demonitor(maps:get(Pid, Monitors), [flush]),
            S#state{monitors = maps:remove(Pid, Monitors)}
    end.

told(Function, Args, #state{module = M, inner = I} = S) ->
    case callback(M, Function, Args ++ [I], {ok, I}) of
        {ok, New} -> S#state{inner = New};
        Other -> exit({bad_return_value, Other})
    end.

%% Blocks: not this process.
dial(#state{seeds = Seeds}) ->
    case Seeds -- [node() | nodes(connected)] of
        [] -> ok;
        Lost ->
            _ = spawn(fun() -> lists:foreach(fun net_kernel:connect_node/1, Lost) end),
            ok
    end.

%% ------------------------------------------------------------------ leader

%% Who leads now; soon again where nobody does.
check(#state{cluster = Cluster} = S) ->
    case global:whereis_name(Cluster) of
        undefined -> vacant(S);
        Pid -> again(?CHECK_MS, leads(Pid, S#state{vacant = undefined}))
    end.

leads(Pid, #state{leader = Pid, leader_monitor = Ref} = S) when is_reference(Ref) ->
    S;
leads(Pid, #state{leader = Before, leader_monitor = Old} = S) ->
    _ = [demonitor(Ref, [flush]) || Ref <- [Old], is_reference(Ref)],
    S1 = S#state{leader = Pid, leader_monitor = monitor(process, Pid)},
    case Pid of
        Before -> S1;
        _ -> told(handle_leader, [Pid, plist_of(S1)], S1)
    end.

vacant(#state{vacant = undefined} = S) ->
    vacant(S#state{vacant = now_ms()});
vacant(#state{vacant = Since, cluster = Cluster} = S) ->
    case now_ms() - Since >= ?TAKE_MS * (rank(S) + 1) of
        true ->
            _ = global:register_name(Cluster, self(), fun global:random_notify_name/3),
            case global:whereis_name(Cluster) of
                undefined -> again(?TAKE_MS, S);
                Pid -> again(?CHECK_MS, leads(Pid, S#state{vacant = undefined}))
            end;
        false ->
            again(?LOOK_MS, S)
    end.

%% How many members come before this one.
rank(#state{members = Members}) ->
    length(lists:usort([Pid || {_, Pid} <- Members, {node(Pid), Pid} < {node(), self()}])).

again(Ms, #state{timer = Timer} = S) ->
    _ = [erlang:cancel_timer(Timer) || Timer =/= undefined],
    S#state{timer = erlang:start_timer(Ms, self(), {?TAG, check})}.

now_ms() ->
    erlang:monotonic_time(millisecond).
