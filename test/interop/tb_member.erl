%% tb_member - a member of a cluster that keeps what it is told; for suites.
-module(tb_member).
-behaviour(tiebeam_cluster).

-export([start/2, start/3, events/1, ask/2]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2, handle_continue/2, terminate/2]).
-export([handle_join/3, handle_leave/4, handle_node_joined/3, handle_leader/3, seed_nodes/1]).

%% On that node, linked to nobody.
-spec start(node(), list()) -> pid().
start(Node, Options) ->
    start(Node, #{}, Options).

-spec start(node(), map(), list()) -> pid().
start(Node, Args, Options) ->
    {ok, Pid} = rpc:call(Node, tiebeam_cluster, start, [?MODULE, Args, Options]),
    Pid.

%% The oldest first.
-spec events(pid()) -> [term()].
events(Pid) ->
    ask(Pid, events).

-spec ask(gen_server:server_ref(), term()) -> term().
ask(Server, Request) ->
    gen_server:call(Server, Request, 60000).

-spec init(map()) -> term().
init(#{ignore := true}) ->
    ignore;
init(Args) ->
    {ok, Args#{events => []}, {continue, begun}}.

-spec handle_continue(term(), map()) -> term().
handle_continue(begun, S) ->
    {noreply, S#{continued => true}}.

-spec handle_call(term(), term(), map()) -> term().
handle_call(events, _, #{events := Events} = S) ->
    {reply, lists:reverse(Events), S};
handle_call(who, _, S) ->
    {reply, self(), S};
handle_call(continued, _, S) ->
    {reply, maps:get(continued, S, false), S};
handle_call(stop, _, S) ->
    {stop, normal, ok, S}.

-spec handle_cast(term(), map()) -> term().
handle_cast(Cast, S) ->
    {noreply, note({cast, Cast}, S)}.

-spec handle_info(term(), map()) -> term().
handle_info(Info, S) ->
    {noreply, note({info, Info}, S)}.

-spec terminate(term(), map()) -> ok.
terminate(Reason, #{tell := To}) ->
    To ! {terminated, self(), Reason},
    ok;
terminate(_, _) ->
    ok.

-spec handle_join(pid(), list(), map()) -> {ok, map()}.
handle_join(Pid, Plist, S) ->
    {ok, note({join, Pid, Plist}, S)}.

-spec handle_leave(pid(), list(), term(), map()) -> {ok, map()}.
handle_leave(Pid, Plist, Reason, S) ->
    {ok, note({leave, Pid, Plist, Reason}, S)}.

-spec handle_node_joined(pid(), list(), map()) -> {ok, map()}.
handle_node_joined(Pid, _, S) ->
    {ok, note({node, node(Pid)}, S)}.

-spec handle_leader(pid(), list(), map()) -> {ok, map()}.
handle_leader(Pid, _, S) ->
    {ok, note({leader, Pid}, S)}.

-spec seed_nodes(map()) -> [node()].
seed_nodes(S) ->
    maps:get(seeds, S, []).

note(Event, #{events := Events} = S) ->
    S#{events := [Event | Events]}.
