%% An application that has no line of its own for its cluster.
-module(peer_app).
-behaviour(application).
-behaviour(supervisor).

-export([start/2, stop/1, init/1]).

-spec start(application:start_type(), term()) -> {ok, pid()}.
start(_, _) ->
    {ok, _} = supervisor:start_link({local, peer_sup}, ?MODULE, []).

-spec stop(term()) -> ok.
stop(_) ->
    ok.

-spec init([]) -> {ok, {supervisor:sup_flags(), []}}.
init([]) ->
    {ok, {#{}, []}}.
