%% @private Of a node whose children a tiebeam node supervises: their parent, and
%% the process that passes requests on. The children stop last, and that the
%% tiebeam node is lost, and found again, is no reason to stop them.
-module(tiebeam_host_sup).
-behaviour(supervisor).

-export([start_link/2]).
-export([init/1]).

-spec start_link(atom(), {module(), atom(), [term()]}) -> {ok, pid()} | {error, term()}.
start_link(Name, Start) ->
    case supervisor:start_link(?MODULE, {Name, Start}) of
        {ok, _} = Ok -> Ok;
        {error, {shutdown, {failed_to_start_child, Name, Reason}}} -> {error, Reason};
        {error, _} = Error -> Error
    end.

-spec init({atom(), {module(), atom(), [term()]}}) -> {ok, {supervisor:sup_flags(), [supervisor:child_spec()]}}.
init({Name, Start}) ->
    {ok, {#{strategy => one_for_one, intensity => 10, period => 10}, [
        tiebeam_host:child_spec(Name),
        #{id => Name, start => Start}
    ]}}.
