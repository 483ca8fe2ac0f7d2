defmodule Tiebeam.MixProject do
  use Mix.Project

  # One source of truth: the application's file.
  @source Path.join(__DIR__, "src/tiebeam.app.src")
  @external_resource @source
  {:ok, [{:application, :tiebeam, keys}]} = :file.consult(@source)
  @keys keys

  def project do
    [
      app: :tiebeam,
      version: to_string(@keys[:vsn]),
      description: to_string(@keys[:description]),
      erlc_options: [:debug_info],
      compilers: [:tiebeam_program | Mix.compilers()],
      deps: []
    ]
  end

  def application do
    Keyword.take(@keys, [:mod, :registered, :env])
  end
end

defmodule Mix.Tasks.Compile.TiebeamProgram do
  @moduledoc false
  use Mix.Task.Compiler

  @impl true
  def run(_args) do
    dir = Path.dirname(Mix.Project.project_file())

    case System.cmd("sh", ["make.sh"], cd: dir, into: IO.stream(:stdio, :line), stderr_to_stdout: true) do
      {_, 0} -> {:ok, []}
      {_, status} -> Mix.raise("erl/make.sh: exit status #{status}")
    end
  end
end
