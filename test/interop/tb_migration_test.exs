# The configurations of priv/doc/migration.md: each one under "new" is taken by
# the sidecar and found right by the program. run.sh reads the last line.
Code.require_file("tb_exunit.exs", __DIR__)

defmodule TbMigrationTest do
  use ExUnit.Case

  @guide Path.expand("../../priv/doc/migration.md", __DIR__)

  setup_all do
    epmd = :tb_lib.join(:migration)
    on_exit(fn -> :tb_lib.leave(epmd) end)
  end

  # {language, text} of each block that begins with a comment "new"
  defp blocks do
    ~r/^```(elixir|erlang)\n(?:#|%%) new.*?\n(.*?)^```/ms
    |> Regex.scan(File.read!(@guide), capture: :all_but_first)
    |> Enum.map(fn [language, text] -> {language, text} end)
  end

  defp options({"elixir", text}) do
    case Code.eval_string(text) do
      {{:tiebeam, _} = child, _} ->
        %{start: {:tiebeam_sidecar, :start_link, [options]}} = Supervisor.child_spec(child, [])
        options

      {options, _} ->
        options
    end
  end

  defp options({"erlang", text}) do
    {:ok, tokens, _} = :erl_scan.string(String.to_charlist(text))
    {:ok, options} = :erl_parse.parse_term(tokens)
    options
  end

  defp config(options) do
    binary = [binary: :tb_lib.binary()]
    section = :tiebeam_sidecar_config.section(options)
    launch = :tiebeam_sidecar_config.launch(Map.merge(section, Map.new(binary)), :tiebeam_sidecar)
    {_, text} = List.keyfind(launch.env, ~c"TIEBEAM_CONFIG", 0)
    text
  end

  defp check(options) do
    file = :tb_lib.tmp(~c"migration.config")
    File.write!(file, config(options))
    {0, out, err} = :tb_lib.run(:tb_lib.binary(), [~c"check-config", file], [])
    {out, err}
  end

  test "there are as many as the guide has" do
    assert length(blocks()) == 5
    assert length(Regex.scan(~r/^(#|%%|\/\/) old/m, File.read!(@guide))) == 3
  end

  test "each is right" do
    for block <- blocks() do
      assert {_, []} = check(options(block))
    end
  end

  test "topologies become instances of their names" do
    names =
      for block <- blocks(),
          {name, _} <- :tiebeam_sidecar_config.section(options(block)).discovery,
          do: name

    assert names ==
             [:by_dns, :by_list, :local, :hosts, :k8s, :k8s_srv, :dns_cluster, :dns_cluster, :nessie_cluster]
  end

  test "what is wrong is said by the program" do
    assert_raise MatchError, fn -> check(discovery: [x: [source: {:dns, "a"}, intervall: 1]]) end
  end
end

TbExunit.run("tb_migration_test")
