# Elixir's ways of talking to a daemon: GenServer, Process, Node, Supervisor,
# :sys, :rpc and :erpc. run.sh reads the last line.
Code.require_file("tb_exunit.exs", __DIR__)

defmodule TbGenserverTest do
  use ExUnit.Case

  setup_all do
    epmd = :tb_lib.join(:elixir)
    daemon = :tb_lib.daemon(:tb, %{config: [tiebeam: [{:discovery, []} | :tb_lib.quiet()]]})

    on_exit(fn ->
      :tb_lib.stop(daemon)
      :tb_lib.leave(epmd)
    end)

    {:ok, node: :tb_lib.node_of(daemon)}
  end

  setup %{node: node} do
    :tb_lib.until(fn -> Node.ping(node) == :pong end)
    :ok
  end

  defp absent, do: :"absent@#{:tb_lib.host()}"

  defp dead(node) do
    {pid, ref} = :erlang.spawn_monitor(node, :erlang, :node, [])
    assert_receive {:DOWN, ^ref, :process, ^pid, :normal}, 60_000
    pid
  end

  defp back(node, name, old) do
    :tb_lib.until(fn ->
      pid = :tb_lib.pid_of(node, name)
      is_pid(pid) and pid != old
    end)
  end

  defp assert_empty_mailbox do
    assert {:messages, []} = Process.info(self(), :messages)
  end

  test "Node.ping, connect, list", %{node: node} do
    assert :pong = Node.ping(node)
    assert :pang = Node.ping(absent())
    assert Node.connect(node) == true
    assert node in Node.list(:hidden)
    assert node in Node.list(:connected)
    assert node in Node.list(:known)
    refute node in Node.list()
    refute node in Node.list(:visible)
  end

  test "Node.monitor, disconnect", %{node: node} do
    assert Node.monitor(node, true) == true
    assert Node.disconnect(node) == true
    assert_receive {:nodedown, ^node}, 60_000
    refute node in Node.list(:hidden)
    assert Node.connect(node) == true
    assert Node.monitor(node, true) == true
    assert Node.monitor(node, false) == true
    assert Node.disconnect(node) == true
    assert Node.connect(node) == true
    assert_empty_mailbox()
  end

  test "GenServer.call by name and by pid", %{node: node} do
    assert GenServer.call({:tiebeam, node}, {:echo, %{a: [1, "two", nil]}}) ==
             %{a: [1, "two", nil]}

    assert %{name: ^node, version: <<_::binary>>} = GenServer.call({:tiebeam, node}, :info)
    pid = :rpc.call(node, :erlang, :whereis, [:tiebeam])
    assert GenServer.call(pid, {:echo, :x}, :infinity) == :x
    assert Node.self() in GenServer.call(pid, :nodes)
  end

  test "terms of Elixir", %{node: node} do
    for term <- [
          nil,
          true,
          "żółw",
          ~c"charlist",
          {:ok, ~D[2024-02-29]},
          ~U[2024-02-29 12:00:00.123456Z],
          MapSet.new([1, 2, 3]),
          1..10//3,
          ~r/a.*b/u,
          %{__struct__: No.Such.Module},
          [a: 1, b: 2],
          &String.upcase/1,
          fn x -> x end,
          :"Elixir.Some.Module",
          :"atom with ✓",
          <<1::3>>,
          make_ref()
        ] do
      assert GenServer.call({:tiebeam, node}, {:echo, term}) === term
    end
  end

  test "GenServer.call of nobody", %{node: node} do
    assert {:noproc, {GenServer, :call, [{:nobody, ^node}, :x, 5000]}} =
             catch_exit(GenServer.call({:nobody, node}, :x))

    pid = dead(node)
    assert {:noproc, {GenServer, :call, [^pid, :x, 5000]}} = catch_exit(GenServer.call(pid, :x))
    gone = absent()

    assert {{:nodedown, ^gone}, {GenServer, :call, [{:tiebeam, ^gone}, :x, 5000]}} =
             catch_exit(GenServer.call({:tiebeam, gone}, :x))
  end

  test "GenServer.call unknown, cast unknown", %{node: node} do
    for name <- [:tiebeam, :rex, :net_kernel, :tiebeam_sup] do
      assert {:error, :unknown_call} = GenServer.call({name, node}, {:what, [1]})
      assert :ok = GenServer.cast({name, node}, {:what, [1]})
      send({name, node}, {:what, [1]})
    end

    assert :ok = GenServer.cast({:nobody, node}, :x)
    assert :ok = GenServer.cast(dead(node), :x)
    assert :abcast = GenServer.abcast([node], :tiebeam, :x)
    assert GenServer.call({:tiebeam, node}, {:echo, :x}) == :x
  end

  test "GenServer.multi_call", %{node: node} do
    gone = absent()
    assert {[{^node, :x}], []} = GenServer.multi_call([node], :tiebeam, {:echo, :x})
    assert {[], [^node]} = GenServer.multi_call([node], :nobody, :x)

    assert {[{^node, :yes}], [^gone]} =
             GenServer.multi_call([node, gone], :net_kernel, {:is_auth, Node.self()})

    # without a list only visible nodes are asked
    assert {[], bad} = GenServer.multi_call(:nobody, :x)
    refute node in bad
  end

  test "GenServer.whereis takes no part", %{node: node} do
    assert GenServer.whereis({:tiebeam, node}) == {:tiebeam, node}
  end

  test "a timeout, and its late reply", %{node: node} do
    :ok = :sys.suspend({:tiebeam, node})

    for i <- 1..10 do
      assert {:timeout, {GenServer, :call, _}} =
               catch_exit(GenServer.call({:tiebeam, node}, {:echo, {:late, i}}, 5))
    end

    :ok = :sys.resume({:tiebeam, node})
    assert GenServer.call({:tiebeam, node}, {:echo, :x}) == :x
    assert_empty_mailbox()
  end

  test "Task.async_stream of many calls", %{node: node} do
    results =
      1..1000
      |> Task.async_stream(&GenServer.call({:tiebeam, node}, {:echo, &1}), max_concurrency: 50)
      |> Enum.map(fn {:ok, i} -> i end)

    assert results == Enum.to_list(1..1000)
  end

  test "GenServer.reply that nobody asked for", %{node: node} do
    pid = :tb_lib.pid_of(node, :tiebeam)
    assert :ok = GenServer.reply({pid, make_ref()}, :unasked)
    assert :ok = GenServer.reply({pid, [:alias | make_ref()]}, :unasked)
    assert GenServer.call(pid, {:echo, :y}) == :y
  end

  test "GenServer.stop with reasons", %{node: node} do
    for reason <- [:normal, :shutdown, {:shutdown, :x}] do
      old = :tb_lib.pid_of(node, :rex)
      ref = Process.monitor({:rex, node})
      assert :ok = GenServer.stop({:rex, node}, reason)
      assert_receive {:DOWN, ^ref, :process, {:rex, ^node}, ^reason}, 60_000
      back(node, :rex, old)
    end

    for to <- [{:nobody, node}, dead(node)] do
      assert {:noproc, {GenServer, :stop, [^to | _]}} = catch_exit(GenServer.stop(to))
    end
  end

  test "Process.monitor", %{node: node} do
    ref = Process.monitor({:nobody, node})
    assert_receive {:DOWN, ^ref, :process, {:nobody, ^node}, :noproc}, 60_000
    pid = dead(node)
    ref = Process.monitor(pid)
    assert_receive {:DOWN, ^ref, :process, ^pid, :noproc}, 60_000
    ref = Process.monitor({:tiebeam, node})
    assert Process.demonitor(ref, [:flush, :info]) == true
    ref = Process.monitor({:tiebeam, node})
    assert Node.disconnect(node) == true
    assert_receive {:DOWN, ^ref, :process, {:tiebeam, ^node}, :noconnection}, 60_000
    assert_empty_mailbox()
  end

  test "Process.exit and Process.link", %{node: node} do
    Process.flag(:trap_exit, true)
    pid = :tb_lib.pid_of(node, :net_kernel)
    Process.link(pid)
    Process.unlink(pid)
    Process.exit(pid, :shutdown)
    assert :tb_lib.pid_of(node, :net_kernel) == pid
    Process.link(pid)
    Process.exit(pid, :kill)
    assert_receive {:EXIT, ^pid, :killed}, 60_000
    back(node, :net_kernel, pid)
  end

  test ":sys", %{node: node} do
    state = :sys.get_state({:tiebeam, node})
    assert :sys.get_state(:tb_lib.pid_of(node, :tiebeam)) == state

    assert {:status, pid, {:module, _}, [_, :running, _, [], misc]} =
             :sys.get_status({:tiebeam, node})

    assert pid == :tb_lib.pid_of(node, :tiebeam)
    assert {:data, [{~c"State", state}]} in misc
    assert :ok = :sys.statistics({:tiebeam, node}, true)
    assert {:ok, [_ | _]} = :sys.statistics({:tiebeam, node}, :get)
    assert :ok = :sys.statistics({:tiebeam, node}, false)
    assert_raise ErlangError, fn -> :sys.replace_state({:tiebeam, node}, & &1) end
  end

  test "Supervisor.which_children, count_children", %{node: node} do
    children = Supervisor.which_children({:tiebeam_sup, node})
    names = for {name, pid, :worker, [name]} <- children, is_pid(pid), do: name
    assert Enum.sort(names) == [:net_kernel, :node_monitor, :rex, :tiebeam]

    assert Supervisor.count_children({:tiebeam_sup, node}) ==
             %{active: 4, specs: 4, supervisors: 0, workers: 4}
  end

  test ":rpc and :erpc", %{node: node} do
    assert :rpc.call(node, :tiebeam, :echo, [%{x: 1}]) == %{x: 1}

    assert {:badrpc, {:EXIT, {:undef, [{NoMod, :f, [1], []}]}}} = :rpc.call(node, NoMod, :f, [1])
    assert {:badrpc, :nodedown} = :rpc.call(absent(), :tiebeam, :echo, [1])
    assert {[:x], []} = :rpc.multicall([node], :tiebeam, :echo, [:x])
    assert :erpc.call(node, :erlang, :node, []) == node

    error = assert_raise ErlangError, fn -> :erpc.call(node, NoMod, :f, [1]) end
    assert {:exception, :undef, [{NoMod, :f, [1], []}]} = error.original
    assert [{:ok, ^node}] = :erpc.multicall([node], :erlang, :node, [])
    # funs cannot run there
    error = assert_raise ErlangError, fn -> :erpc.call(node, fn -> :ok end) end
    assert {:exception, :undef, _} = error.original
  end

  test "Node.spawn, spawn_link, spawn_monitor", %{node: node} do
    pid = Node.spawn(node, :tiebeam, :echo, [:x])
    assert node(pid) == node
    Process.flag(:trap_exit, true)
    pid = Node.spawn_link(node, :tiebeam, :echo, [:x])
    assert_receive {:EXIT, ^pid, :normal}, 60_000
    {pid, ref} = Node.spawn_monitor(node, NoMod, :f, [])
    assert_receive {:DOWN, ^ref, :process, ^pid, {:undef, [{NoMod, :f, [], []}]}}, 60_000
    pid = Node.spawn_link(node, fn -> :ok end)
    assert_receive {:EXIT, ^pid, {:undef, _}}, 60_000
  end

  test "Agent calls are answered, not hung upon", %{node: node} do
    assert {:error, :unknown_call} = Agent.get({:tiebeam, node}, & &1)
    assert {:error, :unknown_call} = Agent.get({:tiebeam, node}, Map, :get, [:x])
  end

  test "Process.alive? has to be asked there", %{node: node} do
    pid = :tb_lib.pid_of(node, :tiebeam)
    assert_raise ArgumentError, fn -> Process.alive?(pid) end
    assert :rpc.call(node, Process, :alive?, [pid]) |> elem(0) == :badrpc
    assert :rpc.call(node, :erlang, :is_process_alive, [pid]) == true
  end
end

TbExunit.run("tb_genserver_test")
