"""Python environments that hold another framework, each pinned, made only when somebody asks for it."""
