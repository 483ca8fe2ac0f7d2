%% tb_kid - children for the suites of the supervisor: every way in which a
%% start can go, and processes that end when they are told to.
-module(tb_kid).

-export([start_link/0, start_link/1, start/1, named/1, counted/1, slow/1]).
-export([loop/1, stubborn/1, ask/2, kids/0, place/2, placing/1, hold/1]).

-spec start_link() -> {ok, pid()}.
start_link() ->
    start_link(plain).

%% A child that knows its argument.
-spec start_link(term()) -> {ok, pid()}.
start_link(Arg) ->
    Pid = spawn_link(?MODULE, loop, [Arg]),
    {ok, Pid}.

-spec loop(term()) -> no_return().
loop(Arg) ->
    receive
        {exit, Reason} -> exit(Reason);
        {arg, From} -> From ! {self(), Arg}
    end,
    loop(Arg).

%% What the child answers.
-spec ask(pid(), term()) -> term().
ask(Pid, Question) ->
    Pid ! {Question, self()},
    receive
        {Pid, Answer} -> Answer
    after 60000 -> timeout
    end.

%% Processes of this node that are children, whoever knows of them.
-spec kids() -> [pid()].
kids() ->
    [P || P <- processes(), process_info(P, current_function) =:= {current_function, {?MODULE, loop, 1}}].

%% A locator: all on the last node. Specs have the form in which children are started.
-spec place([term()], [node()]) -> [node()].
place(Specs, Nodes) ->
    true = lists:all(fun is_spec/1, Specs),
    case persistent_term:get({?MODULE, placing}, last) of
        last -> [lists:last(Nodes) || _ <- Specs];
        nowhere -> [nobody@nowhere || _ <- Specs];
        crash -> error(no_place);
        hang -> timer:sleep(infinity);
        {ask, Pid} -> [asked(Pid, Nodes) || _ <- Specs]
    end.

asked(Pid, Nodes) ->
    Pid ! {self(), Nodes},
    receive
        {place, Node} -> Node
    end.

is_spec(#{id := _, start := {_, _, _}}) -> true;
is_spec({{_, _, _}, _, _, _, _}) -> true;
is_spec(_) -> false.

%% How it goes on this node from now on.
-spec placing(last | nowhere | crash | hang | {ask, pid()}) -> ok.
placing(How) ->
    persistent_term:put({?MODULE, placing}, How).

%% Every other way.
-spec start(term()) -> term().
start(info) ->
    {ok, Pid} = start_link(),
    {ok, Pid, more};
start(ignore) ->
    ignore;
start({error, _} = Error) ->
    Error;
start({crash, Reason}) ->
    error(Reason);
start({exit, Reason}) ->
    exit(Reason);
start({throw, Term}) ->
    throw(Term);
start({other, Term}) ->
    Term;
start(stubborn) ->
    Self = self(),
    Pid = spawn_link(?MODULE, stubborn, [Self]),
    receive
        {Pid, stubborn} -> {ok, Pid}
    end;
%% the first time it is a child, then it is not
start({once, Key, Then}) ->
    case persistent_term:get({?MODULE, Key}, first) of
        first ->
            persistent_term:put({?MODULE, Key}, again),
            start_link(Key);
        again ->
            start(Then)
    end.

%% Does not end before it is killed.
-spec stubborn(pid()) -> no_return().
stubborn(Parent) ->
    process_flag(trap_exit, true),
    Parent ! {self(), stubborn},
    receive
        {exit, Reason} -> exit(Reason)
    end.

%% A name that only one in the cluster has.
-spec named(term()) -> {ok, pid()} | {error, {already_started, pid()}}.
named(Name) ->
    Self = self(),
    Pid = spawn_link(fun() ->
        case global:register_name(Name, self()) of
            yes ->
                Self ! {self(), yes},
                loop(Name);
            no ->
                Self ! {self(), no}
        end
    end),
    receive
        {Pid, yes} ->
            {ok, Pid};
        {Pid, no} ->
            {error, {already_started, global:whereis_name(Name)}}
    end.

%% A child that says to a process when it starts.
-spec counted({pid(), term()}) -> {ok, pid()}.
counted({To, Tag}) ->
    {ok, Pid} = start_link(Tag),
    To ! {started, Tag, Pid},
    {ok, Pid}.

-spec slow(non_neg_integer()) -> {ok, pid()}.
slow(Ms) ->
    timer:sleep(Ms),
    start_link(slow).

%% That process of this node stands still until the one that is returned is killed.
-spec hold(atom()) -> pid().
hold(Name) ->
    Self = self(),
    Holder = spawn(fun() ->
        true = erlang:suspend_process(whereis(Name)),
        Self ! {self(), held},
        timer:sleep(infinity)
    end),
    receive
        {Holder, held} -> Holder
    end.
