%% example_cluster_srv - a gen_server that forms a cluster: one such process on
%% each node. README.md shows it in three terminals.
-module(example_cluster_srv).
-behaviour(tiebeam_cluster).

-export([start/0, start/1]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2, terminate/2, code_change/3]).
-export([handle_join/3, handle_node_joined/3, handle_leave/4, handle_leader/3]).

-spec start() -> gen_server:start_ret().
start() ->
    start([]).

%% start([{seed, Node}])
-spec start(list()) -> gen_server:start_ret().
start(Options) ->
    tiebeam_cluster:start({local, ?MODULE}, ?MODULE, [], Options).

-spec init([]) -> {ok, []}.
init([]) ->
    {ok, []}.

-spec handle_call(term(), term(), State) -> {reply, term(), State}.
handle_call(who, _, State) ->
    {reply, {self(), node()}, State}.

-spec handle_cast(term(), State) -> {noreply, State}.
handle_cast(_, State) ->
    {noreply, State}.

-spec handle_info(term(), State) -> {noreply, State}.
handle_info(_, State) ->
    {noreply, State}.

-spec terminate(term(), term()) -> ok.
terminate(_, _) ->
    ok.

-spec code_change(term(), State, term()) -> {ok, State}.
code_change(_, State, _) ->
    {ok, State}.

-spec handle_join(pid(), tiebeam_cluster:plist(), State) -> {ok, State}.
handle_join(Pid, Plist, State) ->
    io:format("~p joined: ~p~n", [Pid, Plist]),
    {ok, State}.

-spec handle_node_joined(pid(), tiebeam_cluster:plist(), State) -> {ok, State}.
handle_node_joined(Pid, _, State) ->
    io:format("node ~p joined~n", [node(Pid)]),
    {ok, State}.

-spec handle_leave(pid(), tiebeam_cluster:plist(), term(), State) -> {ok, State}.
handle_leave(Pid, Plist, Reason, State) ->
    io:format("~p left, ~p: ~p~n", [Pid, Reason, Plist]),
    {ok, State}.

-spec handle_leader(pid(), tiebeam_cluster:plist(), State) -> {ok, State}.
handle_leader(Pid, _, State) ->
    io:format("~p leads~n", [Pid]),
    {ok, State}.
