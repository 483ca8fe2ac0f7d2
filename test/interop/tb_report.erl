%% tb_report - runs one suite and prints what failed, readably. run.sh reads
%% the last line, "MODULE: N passed, N failed, N skipped, N ms". With
%% $TB_RESULTS a line for each case is appended to that file: suite, title, and
%% passed, failed or skipped, with tabs between.
-module(tb_report).
-behaviour(eunit_listener).

-export([main/1]).
-export([start/1, init/1, handle_begin/3, handle_end/3, handle_cancel/3, terminate/2]).

-record(report, {
    module :: module(),
    verbose :: boolean(),
    passed = 0 :: non_neg_integer(),
    failed = 0 :: non_neg_integer(),
    skipped = 0 :: non_neg_integer(),
    started :: integer()
}).

-define(DEPTH, 30).
-define(LONGEST, 4000).

%% Called by "erl -run tb_report main MODULE".
-spec main([string()]) -> no_return().
main([Name]) ->
    Module = list_to_atom(Name),
    _ =
        try
            eunit:test(Module, [{report, {?MODULE, [Module]}}, no_tty])
        catch
            Class:Reason:Stack -> io:format("~s: ~p~n", [Name, {Class, Reason, Stack}])
        end,
    erlang:halt(0, [{flush, true}]).

-spec start(list()) -> pid().
start(Options) ->
    eunit_listener:start(?MODULE, Options).

-spec init(list()) -> #report{}.
init([Module | _]) ->
    #report{
        module = Module,
        verbose = os:getenv("TB_VERBOSE", "") =/= "",
        started = erlang:monotonic_time(millisecond)
    }.

-spec handle_begin(group | test, list(), #report{}) -> #report{}.
handle_begin(_, _, Report) ->
    Report.

-spec handle_end(group | test, list(), #report{}) -> #report{}.
handle_end(group, _, Report) ->
    Report;
handle_end(test, Data, Report) ->
    Report#report.verbose andalso
        io:format("  ~6B ms  ~ts~n", [proplists:get_value(time, Data, 0), title(Data)]),
    case proplists:get_value(status, Data) of
        ok ->
            note(Report, Data, "passed"),
            Report#report{passed = Report#report.passed + 1};
        {skipped, Why} ->
            note(Report, Data, "skipped"),
            io:format("SKIPPED ~s: ~ts: ~p~n", [Report#report.module, title(Data), Why]),
            Report#report{skipped = Report#report.skipped + 1};
        {error, Exception} ->
            note(Report, Data, "failed"),
            failure(Report, title(Data), exception(Exception), Data)
    end.

-spec handle_cancel(group | test, list(), #report{}) -> #report{}.
handle_cancel(_, Data, Report) ->
    case proplists:get_value(reason, Data) of
        undefined ->
            Report;
        Reason ->
            note(Report, Data, "failed"),
            failure(Report, title(Data), cancelled(Reason), Data)
    end.

-spec terminate({ok | error, term()}, #report{}) -> ok.
terminate(Result, Report) ->
    Failed =
        case Result of
            {ok, _} -> Report#report.failed;
            {error, _} -> Report#report.failed + 1
        end,
    Ms = erlang:monotonic_time(millisecond) - Report#report.started,
    io:format("~s: ~B passed, ~B failed, ~B skipped, ~B ms~n", [
        Report#report.module, Report#report.passed, Failed, Report#report.skipped, Ms
    ]).

note(#report{module = Module}, Data, Result) ->
    case os:getenv("TB_RESULTS", "") of
        "" ->
            ok;
        File ->
            Line = io_lib:format("~s\t~ts\t~s\n", [Module, title(Data), Result]),
            ok = file:write_file(File, unicode:characters_to_binary(Line), [append])
    end.

%% ------------------------------------------------------------------- text

title(Data) ->
    case {proplists:get_value(desc, Data), proplists:get_value(source, Data)} of
        {Text, _} when Text =/= undefined, Text =/= "", Text =/= <<>> -> Text;
        {_, {_, Function, _}} -> atom_to_list(Function);
        _ -> "setup or cleanup"
    end.

failure(Report, Title, Text, Data) ->
    io:format("FAILED ~s: ~ts~n~ts", [Report#report.module, Title, indent(Text)]),
    Output = unicode:characters_to_list(proplists:get_value(output, Data, "")),
    Output =/= "" andalso io:format("    it printed:~n~ts", [indent(Output)]),
    Report#report{failed = Report#report.failed + 1}.

indent(Text) ->
    Shown = string:slice(unicode:characters_to_list(Text), 0, ?LONGEST),
    [["    ", Line, $\n] || Line <- string:split(string:trim(Shown), "\n", all)].

exception({error, {Assert, Info}, Stack}) when is_atom(Assert), is_list(Info) ->
    case proplists:is_defined(line, Info) of
        true ->
            io_lib:format("~s, line ~p~n~ts", [Assert, proplists:get_value(line, Info), facts(Info)]);
        false ->
            exception_text(error, {Assert, Info}, Stack)
    end;
exception({Class, Reason, Stack}) ->
    exception_text(Class, Reason, Stack);
exception(Other) ->
    io_lib:format("~tP", [Other, ?DEPTH]).

facts(Info) ->
    Without = [module, line],
    [
        io_lib:format("~s: ~ts~n", [Key, value(Value)])
     || {Key, Value} <- Info, not lists:member(Key, Without)
    ].

value(Value) when is_list(Value) ->
    case io_lib:printable_unicode_list(Value) of
        true -> Value;
        false -> io_lib:format("~tP", [Value, ?DEPTH])
    end;
value(Value) ->
    io_lib:format("~tP", [Value, ?DEPTH]).

exception_text(Class, {daemon_ended_badly, Status, Output}, Stack) ->
    io_lib:format("~s: a daemon ended with status ~B~n~ts~n~ts", [
        Class, Status, Output, where(Stack)
    ]);
exception_text(Class, Reason, Stack) ->
    io_lib:format("~s: ~tP~n~ts", [Class, Reason, ?DEPTH, where(Stack)]).

where(Stack) ->
    [
        io_lib:format("  at ~s, line ~B~n", [Module, proplists:get_value(line, Location, 0)])
     || {Module, _, _, Location} <- Stack,
        lists:prefix("tb_", atom_to_list(Module)),
        Location =/= []
    ].

cancelled({abort, {Kind, Exception}}) ->
    [io_lib:format("~p: ", [Kind]), exception(Exception)];
cancelled({exit, Reason}) ->
    io_lib:format("the test's process ended: ~tP", [Reason, ?DEPTH]);
cancelled(timeout) ->
    "timeout";
cancelled(Reason) ->
    io_lib:format("~tP", [Reason, ?DEPTH]).
