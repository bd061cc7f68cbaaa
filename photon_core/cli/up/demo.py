async def run_demo(*a): raise NotImplementedError
