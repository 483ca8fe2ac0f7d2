%% @private Starts a sidecar where the application environment asks for one;
%% nothing otherwise.
-module(tiebeam_app).
-behaviour(application).

-export([start/2, stop/1]).

-spec start(application:start_type(), term()) -> {ok, pid()} | {error, term()}.
start(_, _) ->
    tiebeam_sup:start_link().

-spec stop(term()) -> ok.
stop(_) ->
    ok.
