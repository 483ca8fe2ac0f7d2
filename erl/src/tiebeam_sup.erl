%% @private The application's supervisor: of one sidecar, or of nothing.
-module(tiebeam_sup).
-behaviour(supervisor).

-export([start_link/0]).
-export([init/1]).

-spec start_link() -> {ok, pid()} | {error, term()}.
start_link() ->
    supervisor:start_link({local, ?MODULE}, ?MODULE, []).

%% The program's end is no end of its owner, which starts it again: restarts
%% counted here are defects.
-spec init([]) -> {ok, {supervisor:sup_flags(), [supervisor:child_spec()]}}.
init([]) ->
    Children = [tiebeam_sidecar:child_spec([]) || tiebeam_sidecar_config:is_wanted()],
    {ok, {#{strategy => one_for_one, intensity => 3, period => 60}, Children}}.
