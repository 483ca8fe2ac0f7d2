%% tb_split_tests - a cluster of processes when the network falls apart: hosts
%% in network namespaces, with wires that are cut and joined again.
-module(tb_split_tests).
-include_lib("eunit/include/eunit.hrl").

-define(TIMEOUT, 180).

-spec split_test_() -> tuple().
split_test_() ->
    case tb_netns:available() of
        true ->
            {setup, fun() -> tb_netns:join(5) end, fun tb_netns:leave/1, [
                {timeout, ?TIMEOUT, {Title, Case}}
             || {Title, Case} <- tb_lib:chosen(cases())
            ]};
        {false, Why} ->
            io:format(user, "tb_split_tests: ~s: nothing was tested~n", [Why]),
            {setup, fun() -> ok end, fun(_) -> ok end, []}
    end.

cases() ->
    [
        {"a tiebeam node on each side", fun each_side/0},
        {"a tiebeam node that sees both sides", fun both_sides/0}
    ].

%% ------------------------------------------------------------- the pieces

%% All wires between hosts 1 to 5, by pair.
with_wires(Fun) ->
    Wires = #{{A, B} => tb_netns:wire(A, B) || {A, B} <- pairs()},
    Fun(Wires).
