%% tb_client_tests - the client module of erl/, against a real daemon.
-module(tb_client_tests).

-include_lib("eunit/include/eunit.hrl").

all_test_() ->
    {setup, fun begin_all/0, fun end_all/1, fun({_, Daemon}) ->
        Node = tb_lib:node_of(Daemon),
        [
            {atom_to_list(Name), fun() -> Test(Node) end}
         || {Name, Test} <- [
                {info, fun info/1},
                {nodes, fun node_lists/1},
                {echo, fun echo/1},
                {connect, fun connect/1},
                {failures, fun failures/1},
                {stop, fun stop/1}
            ]
        ]
    end}.

begin_all() ->
    Epmd = tb_lib:join(client),
    {Epmd, tb_lib:daemon(list_to_atom(tb_lib:name(client_tb)))}.

end_all({Epmd, Daemon}) ->
    ?assertEqual(0, tb_lib:wait_exit(Daemon)),
    tb_lib:leave(Epmd).

info(Node) ->
    Me = node(),
    #{name := Node, version := <<_, _/binary>>, registered := true, nodes := #{Me := Peer}} =
        tiebeam:info(Node),
    ?assertMatch(#{type := visible, connection_id := Id} when Id > 0, Peer).

node_lists(Node) ->
    ?assertEqual([node()], tiebeam:nodes(Node)),
    ?assertEqual([node()], tiebeam:nodes(Node, visible)),
    ?assertEqual([], tiebeam:nodes(Node, hidden)),
    ?assertEqual([node()], tiebeam:nodes(Node, connected)).

echo(Node) ->
    Term = #{self() => [make_ref(), 1.5 | <<"x">>]},
    ?assertEqual(Term, tiebeam:echo(Node, Term)).

connect(Node) ->
    Nowhere = list_to_atom("nowhere@" ++ tb_lib:host()),
    ?assertEqual({error, not_in_epmd}, tiebeam:connect(Node, Nowhere)),
    Beam = tb_lib:beam(list_to_atom(tb_lib:name(client_peer))),
    Peer = tb_lib:node_of(Beam),
    ?assertEqual(ok, tiebeam:connect(Node, Peer)),
    ?assert(lists:member(Peer, tiebeam:nodes(Node))),
    ?assertEqual(true, tiebeam:disconnect(Node, Peer)),
    tb_lib:until(fun() -> not lists:member(Peer, tiebeam:nodes(Node)) end),
    ?assertEqual(false, tiebeam:disconnect(Node, Peer)),
    tb_lib:end_beam(Beam).

failures(_) ->
    Nowhere = list_to_atom("nowhere@" ++ tb_lib:host()),
    ?assertExit({{nodedown, Nowhere}, _}, tiebeam:info(Nowhere)).

stop(Node) ->
    ?assertEqual(ok, tiebeam:stop(Node)).
